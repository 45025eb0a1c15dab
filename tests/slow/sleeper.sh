#!/bin/sh
# A watcher sleeps through a million updates. test-timeout: 600
SLEEPER_UPDATES=${SLEEPER_UPDATES:-1000000} exec "$CHOIR_BUILD/tests/e2e/sleeper"
