#!/bin/sh
# tests/slow/erase.mjs with a few: half of all payloads erased.
ERASE_COUNT=${ERASE_COUNT:-2000} exec node tests/slow/erase.mjs
