#!/bin/sh
# A hundred thousand forgeries of exports, each byte of one of them included;
# EXPORTS_SEED=N for others. test-timeout: 1800
EXPORTS_FORGED=100000 exec "$CHOIR_BUILD/tests/e2e/exports_campaign"
