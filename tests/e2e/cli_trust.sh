#!/bin/bash
# Who may, who did, and whether it is true: invite, join, grant, revoke, tap,
# verify, backup and restore.
. tests/e2e/cli.bash
start_broker

choir put plan one >/dev/null
choir put plan two --if-absent 2>/dev/null
choir txn - >/dev/null <<<'{"writes": [{"key": "a", "value": "x"}, {"key": "b", "value": "yy"}]}'

# tap
ends 0 choir tap --since 0 --count 6
is 'the first entry is the genesis' genesis "$(awk 'NR == 1 {print $5}' <<<"$out")"
is 'every line is verified' 'ok' "$(awk '{print $1}' <<<"$out" | sort -u)"
choir tap --since 0 >"$CHOIR_TMP/tap" 2>"$CHOIR_TMP/tap.err" &
tap=$!
until_true has "$CHOIR_TMP/tap.err" 'verified: all' && ok
like 'a conflict is an entry' 'choir  put  plan  3  CONFLICT' "$(<"$CHOIR_TMP/tap")"
like 'a transaction is one' 'choir  txn  a and 1 more  3  OK' "$(<"$CHOIR_TMP/tap")"
choir put live x >/dev/null
until_true has "$CHOIR_TMP/tap" 'put  live  1  OK' && ok
kill -INT $tap; wait $tap
is 'an interrupted tap is 130' 130 $?
index=$(awk '$5 == "put" && $6 == "plan" {print $2; exit}' "$CHOIR_TMP/tap")
ends 0 choir tap --since "$index" --count 1 --json --values
is 'tap --json says what it verified' true "$(field verified <<<"$out")"
is 'and has the values' '[{"value":"one"}]' "$(field values <<<"$out")"
ends 0 choir tap --since "$index" --count 1
like 'without asking there are none' 'put  plan  3  OK  [0-9.]+ms$' "$out"

# filters
task=$(choir submit jobs x)
choir --as ada put plan/b x >/dev/null
shown() { ends 0 choir tap --since 0 "$@"; awk '{print $5, $6}' <<<"$out" | tr '\n' ' ' | sed 's/ $//'; }
is 'by outcome' 'put plan' "$(shown --filter outcome=CONFLICT --count 1)"
is 'by agent' ada "$(choir tap --since 0 --filter agent=ada --count 2 | awk '{print $4}' | sort -u)"
is 'by verb' 'txn a' "$(shown --filter verb=txn --count 1)"
is 'by what the key begins with' 'put plan put plan put plan/b' "$(shown --filter key=plan --count 3)"
is 'in a transaction, too' 'txn a' "$(shown --filter key=b --count 1)"
is 'by queue' 'submit jobs' "$(shown --filter queue=jobs --count 1)"
is 'by task' 'submit jobs' "$(shown --filter "task=$task" --count 1)"
is 'by space and' 'put plan/b' "$(shown --filter space=main --filter key=plan/ --count 1)"
ends 0 choir tap --since 0 --filter outcome=CONFLICT --filter agent=choir --count 1 --json
is 'in JSON, too' CONFLICT "$(field outcome <<<"$out")"
ends 2 choir tap --filter colour=red
like 'an unknown field is refused, and the others named' 'no field "colour"; there are agent, verb, key, queue, outcome, space, task' "$err"
ends 2 choir tap --filter verb=putt
like 'a verb is one' 'verb takes an operation' "$err"
ends 2 choir tap --filter outcome=WHATEVER
like 'an outcome is one' 'outcome takes OK, CONFLICT' "$err"
ends 2 choir tap --filter task=x
ends 2 choir tap --filter agent
like 'it takes a value' '--filter takes FIELD=VALUE, not "agent"' "$err"

unlike_day=$(choir tap --since 0 --count 4 | grep -cE '[0-9]{7}\.[0-9]ms$')
is 'who enrols has no latency of half a century' 0 "$unlike_day"

# invite and join, from elsewhere
ends 0 choir invite --role reader
invitation=$out
like 'one string' '^choir-invite-1:[A-Za-z0-9_-]+$' "$out"
like 'and how to use it, on stderr' 'choir join STRING' "$err"
like 'that it is good here only' 'good on this machine only' "$err"
ends 0 choir invite --address tcp://192.0.2.1:7117
[[ $err != *'this machine only'* ]] && ok || bad 'another address is not commented on'
export CHOIR_CONFIG=$CHOIR_TMP/elsewhere
ends 0 choir --as guest join "$invitation"
like 'join says where the identity is' "^$CHOIR_TMP/elsewhere/guest@[0-9a-f]{16}\.identity$" "$out"
ends 0 choir --as guest get plan
is 'a reader reads' one "$out"
ends 1 choir --as guest put plan x
like 'and does not write' '^DENIED key=plan' "$err"
ends 1 choir --as guest grant guest write
like 'nor grant: --as is no admin' '^DENIED' "$err"
ends 1 choir --as other join "$invitation"
like 'an invitation is used up' '^(EXPIRED|WRONG_BROKER|UNREACHABLE|NO_IDENTITY)' "$err"

# grants
ends 0 choir grant guest read,write notes/
like 'grant prints the revision' '^[0-9]+$' "$out"
ends 0 choir --as guest put notes/1 mine
ends 1 choir --as guest put plan x
ends 0 choir grant guest none notes/
ends 1 choir --as guest put notes/1 mine
ends 0 choir grant guest submit queue:jobs
ends 0 choir --as guest submit jobs x
ends 1 choir --as guest submit others x
ends 1 choir grant nobody read
like 'an unknown name' '^NOT_FOUND agent=nobody' "$err"
# who enrolled by himself has his rights in every space
choir --as local put mine x >/dev/null
ends 0 choir grant local none
ends 0 choir --as local get mine
ends 0 choir --space '*' grant local none
ends 1 choir --as local get mine
ends 0 choir revoke guest --reason 'left the team'
ends 1 choir --timeout 3 --as guest get plan
like 'revoked is over' '^(UNKNOWN_AGENT|NO_IDENTITY)' "$err"
ends 1 choir revoke guest
export CHOIR_CONFIG=$CHOIR_TMP/config

# backup, while it runs
ends 0 choir backup "$CHOIR_TMP/backup"
is 'backup says where' "$CHOIR_TMP/backup" "$out"
ends 1 choir backup "$CHOIR_TMP/backup"
like 'never over another one' 'backup' "$err"
ends 1 choir --as guest2 backup "$CHOIR_TMP/backup2"
like 'administrators alone' '^DENIED' "$err"
ends 1 choir restore "$CHOIR_TMP/backup"
like 'a live directory is refused by its pid' "^EBUSY data=$CHOIR_DATA pid=$broker:" "$err"
choir put after-backup x >/dev/null

# verify, offline
stop_broker
ends 0 choir verify "$CHOIR_DATA" --key "$CHOIR_DATA/local.invite"
like 'verify with the key' 'OK: consistent, signed by the pinned key' "$out"
ends 0 choir verify "$CHOIR_TMP/backup"
like 'verify without' 'signed by unknown key' "$out"
is 'verify --json' true "$(choir verify "$CHOIR_DATA" --json | field ok)"
cp -r "$CHOIR_TMP/backup" "$CHOIR_TMP/flipped"
was=$(od -An -tu1 -j400 -N1 "$CHOIR_TMP/flipped/segment-0000000001")
printf -v other '\\x%02x' $((was ^ 1))
printf %b "$other" | dd of="$CHOIR_TMP/flipped/segment-0000000001" bs=1 seek=400 conv=notrunc status=none
ends 4 choir verify "$CHOIR_TMP/flipped"
like 'one byte is named' 'entry [0-9]+' "$err"
ends 4 choir restore "$CHOIR_TMP/flipped" --data "$CHOIR_TMP/none"
[ ! -e "$CHOIR_TMP/none" ] && ok || bad 'a bad backup leaves nothing'

# restore
ends 1 choir restore "$CHOIR_TMP/no-such" --data "$CHOIR_TMP/none"
like 'no backup there' "^ENOENT path=$CHOIR_TMP/no-such:" "$err"
ends 1 choir restore "$CHOIR_TMP/backup"
like 'a full directory is refused' "^ENOTEMPTY data=$CHOIR_DATA" "$err"
mv "$CHOIR_DATA" "$CHOIR_TMP/lost"
ends 0 choir restore "$CHOIR_TMP/backup"
like 'restore says what comes' 'begins epoch 2' "$err"
start_broker
ends 4 choir get plan
like 'who has seen more says so' '^LEDGER_BEHIND' "$err"
is 'a new agent goes on' one "$(choir --as fresh get plan)"
is 'in the new epoch' 2 "$(choir --as fresh status --json | field epoch)"
ends 0 choir get plan --accept-epoch
is 'the operator may say to go on' one "$out"
ends 0 choir get plan
stop_broker
ends 0 choir verify "$CHOIR_DATA"

unset broker
finish
