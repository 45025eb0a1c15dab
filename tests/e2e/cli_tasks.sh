#!/bin/bash
# Any program is an agent: choir work --exec, and what becomes of its tasks.
. tests/e2e/cli.bash
start_broker

state() { choir task show "$1" --json | field state; }
is_state() { [ "$(state "$1")" = "$2" ]; }

# the result, the environment
ends 0 choir submit q 'the payload' --priority 3
task=$out
ends 0 choir work q --once --exec 'cat; echo " $CHOIR_TASK $CHOIR_SPACE $CHOIR_QUEUE $CHOIR_ATTEMPT $CHOIR_REVISION"'
like 'work says what became of it' "task $task completed" "$err"
ends 0 choir task show "$task"
like 'stdin is the payload, stdout the result' "result +the payload $task main q 1 [0-9]+" "$out"
ends 1 choir task cancel "$task"
like 'what is final stays so' '^TERMINAL ' "$err"

# --wait
choir work w --exec 'read x; [ "$x" = good ] && echo done || { echo "no good: $x" >&2; exit 1; }' --count 2 2>/dev/null &
worker=$!
ends 0 choir submit w good --wait
is 'the result is all there is on stdout' 'done' "$out"
like 'the id goes to stderr' '^task [0-9]+$' "$err"
ends 5 choir submit w evil --wait
like 'a failed task is exit code 5, with its reason' 'task [0-9]+ failed: no good: evil' "$err"
wait $worker
is 'work --count ends with 0' 0 $?

# exit status 75, dead, requeue
task=$(choir submit r x --max-attempts 2 --backoff 1ms)
ends 0 choir work r --count 2 --exec 'echo "try $CHOIR_ATTEMPT" >&2; exit 75'
is '75 asks for another try until it is dead' dead "$(state "$task")"
like 'with its reason' 'reason +try 2' "$(choir task show "$task")"
again=$(choir task requeue "$task")
is 'requeue makes a new task' queued "$(state "$again")"
is 'task ls --state' "$again" "$(choir task ls --state queued --json | field task)"
ends 0 choir task cancel "$again" --reason 'not needed'

# a result that is no value
task=$(choir submit l x)
ends 0 choir work l --once --exec 'head -c 2000000 /dev/zero'
is 'too large a result fails the task' failed "$(state "$task")"
like 'by its limit' 'reason +OVER_LIMIT field=result limit=1048576' "$(choir task show "$task")"
task=$(choir submit l x)
ends 0 choir work l --once --exec 'printf "bad \377 end" >&2; kill -9 $$'
like 'a reason is made text' 'reason +bad \? end' "$(choir task show "$task")"
task=$(choir submit l x)
ends 0 choir work l --once --exec 'yes "a long story" | head -c 5000 >&2; exit 9'
reason=$(choir task show "$task" --json | field reason)
like 'a reason is cut to its limit' '^(9[0-9]{2}|10[01][0-9]|102[0-4])$' ${#reason}
task=$(choir submit l x)
ends 0 choir work l --once --exec 'exit 4'
like 'without a word there is the status' 'reason +exit status 4' "$(choir task show "$task")"

# the private socket: under the lease, over the worker's connection
task=$(choir submit s x)
ends 0 choir --as worker work s --once --exec '
    choir put made/$CHOIR_TASK v && choir get made/$CHOIR_TASK && choir ls made/ &&
    ! choir put made/$CHOIR_TASK w --if-absent && ! choir get nothing &&
    echo "{\"id\":7,\"op\":\"progress\",\"value\":\"half\"}" | choir pipe &&
    echo "{\"op\":\"complete\",\"value\":\"no\"}" | choir pipe'
is 'commands inside act' completed "$(state "$task")"
like 'as the worker, under its task' "worker  task $task\$" "$(choir log "made/$task")"
like 'conflicts are told there too' "CONFLICT key=made/$task task=$task base=0 current=[0-9]+ writer=worker" "$err"
like 'progress is recorded' 'progress +half' "$(choir task show "$task")"
like 'the task ends by the exit status alone' "exit status ends the task" "$(choir task show "$task")"

# cancelled while it runs: SIGTERM, then nothing more of it
task=$(choir submit c x)
choir work c --exec "trap 'echo told >$CHOIR_TMP/told; exit 0' TERM; : >$CHOIR_TMP/began; while :; do sleep 0.05; done" 2>"$CHOIR_TMP/worker" &
worker=$!
until_true [ -e "$CHOIR_TMP/began" ]
ends 0 choir task cancel "$task"
until_true [ -e "$CHOIR_TMP/told" ]
is 'cancelled stays cancelled' cancelled "$(state "$task")"
kill -INT $worker
wait $worker
is 'Ctrl-C with nothing in hand ends with 0' 0 $?
like 'the worker says so' "task $task lost" "$(<"$CHOIR_TMP/worker")"

# drain: the first Ctrl-C finishes what is in hand
task=$(choir submit d x)
choir work d --exec ": >$CHOIR_TMP/draining; while [ ! -e $CHOIR_TMP/go ]; do sleep 0.02; done; echo finished" 2>/dev/null &
worker=$!
until_true [ -e "$CHOIR_TMP/draining" ]
kill -INT $worker
choir submit d y >/dev/null
: >"$CHOIR_TMP/go"
wait $worker
is 'the first Ctrl-C ends with 0' 0 $?
is 'after finishing the task' completed "$(state "$task")"
is 'and taking no other' 1 "$(choir task ls --queue d --state queued | wc -l)"

# the second one gives it back
task=$(choir submit e x)
choir work e --exec ": >$CHOIR_TMP/hanging; sleep 100" 2>"$CHOIR_TMP/second" &
worker=$!
until_true [ -e "$CHOIR_TMP/hanging" ]
kill -INT $worker
until_true has "$CHOIR_TMP/second" 'once more gives back'
kill -INT $worker # a third would end it at once
wait $worker
is 'the second Ctrl-C ends with 130' 130 $?
is 'the task is given back' queued "$(state "$task")"

# the worker is killed: its command goes too, and the task to another
task=$(choir submit f x --lease 1s)
choir work f --exec "sleep 1000 & echo \$! >$CHOIR_TMP/pid; wait" 2>/dev/null &
worker=$!
until_true [ -s "$CHOIR_TMP/pid" ]
kill -KILL $worker
wait $worker 2>/dev/null
until_true sh -c "! kill -0 $(<"$CHOIR_TMP/pid")" && ok
ends 0 timeout 20 choir work f --once --exec 'echo "attempt $CHOIR_ATTEMPT"'
like 'another attempt follows' 'result +attempt 2' "$(choir task show "$task")"

# several at once
for i in 1 2 3; do choir submit p $i >/dev/null; done
ends 0 timeout 20 choir work p --jobs 3 --count 3 --exec "
    : >$CHOIR_TMP/p.\$CHOIR_TASK
    while [ \$(ls $CHOIR_TMP/p.* | wc -l) -lt 3 ]; do sleep 0.02; done"
is 'three run side by side' 3 "$(choir task ls --queue p --state completed | wc -l)"

# the broker goes and comes while the command runs
task=$(choir submit b x)
choir --as worker work b --once --exec ": >$CHOIR_TMP/running; while [ ! -e $CHOIR_TMP/back ]; do sleep 0.02; done; choir put after/restart yes && echo survived" 2>/dev/null &
worker=$!
until_true [ -e "$CHOIR_TMP/running" ]
stop_broker KILL
start_broker
: >"$CHOIR_TMP/back"
wait $worker
is 'a worker survives its broker' 0 $?
is 'and so does its task' completed "$(state "$task")"
is 'at the first attempt' 1 "$(choir task show "$task" --json | field attempt)"
is 'with what it wrote' yes "$(choir get after/restart)"

finish
