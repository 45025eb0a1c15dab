#!/bin/bash
# A broker that shows two ledgers: one data directory is copied, both copies go
# on under one key. A witness exposes it, and so do two agents without one.
. tests/e2e/cli.bash

start_broker
for i in 1 2 3 4 5; do choir --as ada put "k$i" "v$i" >/dev/null; done
choir --as bob get k1 >/dev/null
ends 0 choir --as eve witness "$CHOIR_TMP/witness" --count 1
before=$out
like 'a witness says how far it has seen' '^[0-9]+$' "$out"
stop_broker
cp -a "$CHOIR_DATA" "$CHOIR_TMP/other"
key=$CHOIR_DATA/admin.identity

# in the one ledger, ada writes; she, and the witness, see it
start_broker
choir --as ada put plan one >/dev/null
ends 0 choir --as eve witness "$CHOIR_TMP/witness" --count 2 --every 10ms
like 'it has grown' '^[0-9]+$' "$out"
is 'and goes on where it was' yes "$([ "$out" -gt "$before" ] && echo yes)"
ends 0 choir --as ada head
printf '%s\n' "$out" >"$CHOIR_TMP/ada.head"
ends 0 choir --as bob head --check "$CHOIR_TMP/ada.head"
is 'two agents of one ledger agree' 'the same ledger' "$out"
stop_broker

# the other ledger, at the same place, under the same key
one=$CHOIR_DATA
export CHOIR_DATA=$CHOIR_TMP/other
start_broker
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do choir --as carl put plan two >/dev/null; done
ends 4 choir --as carl head --check "$CHOIR_TMP/ada.head"
printf '%s\n' "$out" >"$CHOIR_TMP/evidence"
like 'one exchange shows the fork' 'what=fork' "$err"
ends 4 choir --as eve witness "$CHOIR_TMP/witness" --count 3 --every 10ms
like 'the witness raises an alarm' 'what=fork' "$err"
ends 4 choir --as ada get plan
like 'and an agent that was there before notices by itself' 'BROKEN what=fork' "$err"
stop_broker

# evidence, offline
# a tap can be the witness
export CHOIR_DATA=$one
start_broker
ends 0 choir --as taper tap --witness "$CHOIR_TMP/tapped" --since 0 --count 3
stop_broker
export CHOIR_DATA=$CHOIR_TMP/other
start_broker
ends 4 choir --as tapist tap --witness "$CHOIR_TMP/tapped" --since 0 --count 3
like 'a tap that is a witness raises the alarm, too' 'what=fork' "$err"
stop_broker

shopt -s nullglob
forks=("$CHOIR_TMP"/witness/fork-* "$CHOIR_TMP"/config/*.fork)
is 'the witness and the agents kept evidence' yes "$([ ${#forks[@]} -ge 2 ] && echo yes)"
for f in "$CHOIR_TMP/evidence" "${forks[@]}"; do
    ends 0 choir verify "$f" --key "$key"
    like 'evidence verifies offline' '^proven: the broker of ledger [0-9a-f]{64} signed two' "$out"
    ends 4 choir verify "$f" --key "$(printf '11%.0s' {1..32})"
    sed 'y/ABCDEFGH/BCDEFGHA/' "$f" >"$CHOIR_TMP/damaged"
    ends 4 choir verify "$CHOIR_TMP/damaged" --key "$key"
done

# nobody is accused who did nothing: behind a restore, heads differ rightly
export CHOIR_DATA=$one
start_broker
choir --as dora get plan >/dev/null
ends 0 choir backup "$CHOIR_TMP/backup"
choir --as dora put late x >/dev/null
ends 0 choir --as dora head
printf '%s\n' "$out" >"$CHOIR_TMP/dora.head"
rm -rf "$CHOIR_TMP/witness"
ends 0 choir --as dora witness "$CHOIR_TMP/witness" --count 1
stop_broker
export CHOIR_DATA=$CHOIR_TMP/restored
choir restore "$CHOIR_TMP/backup" >/dev/null 2>&1 || choir --json restore "$CHOIR_TMP/backup" "$CHOIR_TMP/restored" >/dev/null
start_broker
ends 1 choir --accept-epoch --as dora head --check "$CHOIR_TMP/dora.head"
like 'a restore is no fork' '^EPOCH_CHANGED' "$err"
ends 4 choir --as dora witness "$CHOIR_TMP/witness" --count 1
ends 0 choir --accept-epoch --as dora witness "$CHOIR_TMP/witness" --count 1
ends 0 choir --as dora witness "$CHOIR_TMP/witness" --count 1

finish
