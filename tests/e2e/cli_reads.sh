#!/bin/bash
# What a command of `choir work` reads, and what becomes of it when others
# change that meanwhile.
. tests/e2e/cli.bash
start_broker

state() { choir task show "$1" --json | field state; }
first_object() { sed 's/^\[//'; } # of an array
wait_for() { echo "while [ ! -e $CHOIR_TMP/$1 ]; do sleep 0.02; done"; }

ends 2 choir submit q x --on-stale maybe
like 'a policy has a name' '--on-stale takes reject, flag or requeue' "$err"
ends 2 choir task heed maybe
ends 2 choir task moved 3
ends 2 choir work q --exec true --signal KILL
ends 2 choir work q --exec true --signal FOO
like 'a signal has a name' '--signal takes one that is free' "$err"
ends 1 choir task moved
like 'moved is for commands of work' '^FENCED: no lease' "$err"

# stale: given back, and the next attempt knows what moved
choir put plan one >/dev/null
task=$(choir submit q x --backoff 1ms)
choir --as worker work q --count 2 --exec "
    echo \"\${CHOIR_STALE:-none}\" >>$CHOIR_TMP/stale
    choir get plan >$CHOIR_TMP/seen; : >$CHOIR_TMP/read
    $(wait_for moved); cat $CHOIR_TMP/seen" 2>"$CHOIR_TMP/worker" &
worker=$!
until_true [ -e "$CHOIR_TMP/read" ]
choir --as ada put plan two >/dev/null
: >"$CHOIR_TMP/moved"
wait $worker
is 'the second attempt completes' completed "$(state "$task")"
is 'on what is there now' two "$(choir task show "$task" --json | field result)"
like 'the worker says what moved' "task $task stale: STALE .*key=plan" "$(<"$CHOIR_TMP/worker")"
is 'the first attempt knows of nothing' none "$(head -n1 "$CHOIR_TMP/stale")"
is 'the second one what moved' plan "$(tail -n1 "$CHOIR_TMP/stale" | first_object | field key)"

# told while it works: moved, a signal, the answers
rm -f "$CHOIR_TMP"/{read,moved}
task=$(choir submit m x)
choir --as worker work m --once --signal USR1 --exec "
    trap ': >$CHOIR_TMP/signalled' USR1
    choir get plan; choir ls docs/
    ! choir task moved || exit 1
    : >$CHOIR_TMP/read
    choir task moved --wait >$CHOIR_TMP/told
    $(wait_for signalled)
    choir task moved --json >$CHOIR_TMP/json
    choir task heed refresh --reason 'once more' >/dev/null
    ! choir task moved || exit 1
    choir get plan" 2>/dev/null &
worker=$!
until_true [ -e "$CHOIR_TMP/read" ]
choir --as ada put plan three >/dev/null
wait $worker
is 'it is told, reads again, and completes' completed "$(state "$task")"
like 'moved says which key, from where to where, and who' \
    '^ +[0-9]+ -> [0-9]+ +plan  ada' "$(<"$CHOIR_TMP/told")"
is 'and as JSON' plan "$(field items <"$CHOIR_TMP/json" | first_object | field key)"

# ignore
rm -f "$CHOIR_TMP"/{read,moved}
task=$(choir submit i x)
choir --as worker work i --once --exec "
    choir get plan; : >$CHOIR_TMP/read
    choir task moved --wait && choir task heed ignore >/dev/null" >/dev/null 2>&1 &
worker=$!
until_true [ -e "$CHOIR_TMP/read" ]
choir --as ada put plan four >/dev/null
wait $worker
is 'what is ignored does not hinder' completed "$(state "$task")"
is 'at the first attempt' 1 "$(choir task show "$task" --json | field attempt)"

# abandon
rm -f "$CHOIR_TMP"/{read,moved}
task=$(choir submit a x --backoff 1h)
ends 0 timeout 20 choir --as worker work a --once --exec "
    trap 'echo told >$CHOIR_TMP/over; exit' TERM
    choir task heed abandon; while :; do sleep 0.05; done"
like 'an abandoned task is given back' "task $task given back: the command abandoned it" "$err"
is 'at once' queued "$(state "$task")"
is 'and its command is told to end' told "$(<"$CHOIR_TMP/over")"

# the submitter chose
rm -f "$CHOIR_TMP"/{read,moved}
task=$(choir submit f x --on-stale flag)
choir --as worker work f --once --exec "choir get plan; : >$CHOIR_TMP/read; $(wait_for moved)" 2>/dev/null &
worker=$!
until_true [ -e "$CHOIR_TMP/read" ]
choir --as ada put plan five >/dev/null
: >"$CHOIR_TMP/moved"
wait $worker
is 'a flagged one is completed' completed "$(state "$task")"
is 'and says so' flag "$(choir task show "$task" --json | field stale)"

rm -f "$CHOIR_TMP"/{read,moved}
task=$(choir submit r x --on-stale requeue --backoff 1h)
choir --as worker work r --once --exec "choir get plan; : >$CHOIR_TMP/read; $(wait_for moved)" 2>/dev/null &
worker=$!
until_true [ -e "$CHOIR_TMP/read" ]
choir --as ada put plan six >/dev/null
: >"$CHOIR_TMP/moved"
wait $worker
is 'a requeued one is queued again' queued "$(state "$task")"

# choir pipe: the event, the question, the answer
exec 3> >(exec choir --as piper pipe >"$CHOIR_TMP/pipe")
echo '{"id":"w","op":"work","queue":"p"}' >&3
task=$(choir submit p x)
until_true has "$CHOIR_TMP/pipe" '"event":"task"'
token=$(grep '"event":"task"' "$CHOIR_TMP/pipe" | field token)
echo "{\"id\":1,\"op\":\"get\",\"key\":\"plan\",\"task\":$task,\"token\":$token}" >&3
until_true has "$CHOIR_TMP/pipe" '"id":1}'
echo "{\"id\":2,\"op\":\"moved\",\"token\":$token}" >&3
until_true has "$CHOIR_TMP/pipe" '"id":2}'
like 'nothing has moved' '"items":\[\]' "$(grep '"id":2}' "$CHOIR_TMP/pipe")"
choir --as ada put plan seven >/dev/null
until_true has "$CHOIR_TMP/pipe" '"event":"moved"'
like 'moved is an event' '"items":\[\{.*"key":"plan"' "$(grep '"event":"moved"' "$CHOIR_TMP/pipe")"
echo "{\"id\":3,\"op\":\"complete\",\"value\":\"r\",\"task\":$task,\"token\":$token}" >&3
until_true has "$CHOIR_TMP/pipe" '"id":3}'
like 'a stale completion is refused' '"outcome":"STALE"' "$(grep '"id":3}' "$CHOIR_TMP/pipe")"
echo "{\"id\":4,\"op\":\"heed\",\"kind\":\"ignore\",\"task\":$task,\"token\":$token}" >&3
echo "{\"id\":5,\"op\":\"moved\",\"token\":4711}" >&3
until_true has "$CHOIR_TMP/pipe" '"id":4}'
until_true has "$CHOIR_TMP/pipe" '"id":5}'
like 'of another lease nothing is known' '"outcome":"FENCED"' "$(grep '"id":5}' "$CHOIR_TMP/pipe")"
echo "{\"id\":6,\"op\":\"complete\",\"value\":\"r\",\"task\":$task,\"token\":$token}" >&3
until_true has "$CHOIR_TMP/pipe" '"id":6}'
like 'after ignore it is accepted' '"outcome":"OK"' "$(grep '"id":6}' "$CHOIR_TMP/pipe")"
exec 3>&-

# the broker goes and comes while the command runs
rm -f "$CHOIR_TMP"/{read,moved}
task=$(choir submit b x --backoff 1ms)
choir --as worker work b --count 2 --exec "
    choir get plan >$CHOIR_TMP/seen; : >$CHOIR_TMP/read; $(wait_for moved)
    cat $CHOIR_TMP/seen" 2>/dev/null &
worker=$!
until_true [ -e "$CHOIR_TMP/read" ]
stop_broker KILL
start_broker
choir --as ada put plan eight >/dev/null
: >"$CHOIR_TMP/moved"
wait $worker
is 'a read set survives the broker' 2 "$(choir task show "$task" --json | field attempt)"
is 'and the result rests on what is there now' eight "$(choir task show "$task" --json | field result)"

finish
