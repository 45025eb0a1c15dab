#!/bin/sh
# Every byte of a sealed record, the zeros too. test-timeout: 600
FLIP_ALL=1 FLIP_SAMPLES=100 exec "$CHOIR_BUILD/tests/e2e/flip"
