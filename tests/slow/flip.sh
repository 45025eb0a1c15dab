#!/bin/sh
# More bytes, and more flips for the programs themselves. test-timeout: 600
FLIP_STEP=1 FLIP_SAMPLES=200 exec "$CHOIR_BUILD/tests/e2e/flip"
