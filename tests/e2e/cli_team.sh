#!/bin/bash
# Tasks that hang together: needs, capabilities, times, parents, pieces of a
# result, questions; many at once, and queues that are stopped and started.
. tests/e2e/cli.bash
start_broker

state() { choir task show "$1" --json | field state; }
is_state() { [ "$(state "$1")" = "$2" ]; }
me=(choir --identity "$CHOIR_DATA/admin.identity")

# needs
first=$(choir submit n one)
second=$(choir submit n two --needs "$first")
ends 1 choir submit n three --needs "$first" --needs 9999
like 'a need that is not there is refused' '^NOT_FOUND .*task=9999' "$err"
third=$(choir submit n three --needs "$first,$second")
ends 0 choir work n --count 3 --exec "echo \$CHOIR_TASK >>$CHOIR_TMP/order"
is 'needs come first' "$first $second $third " "$(tr '\n' ' ' <"$CHOIR_TMP/order")"
like 'show tells them' "needs +$second completed" "$(choir task show "$third")"
first=$(choir submit n bad)
second=$(choir submit n after --needs "$first")
ends 0 choir work n --once --exec 'exit 1'
until_true is_state "$second" dead
like 'a need that failed is told' "reason +it needs task $first, which is failed" "$(choir task show "$second")"

# capabilities
hard=$(choir submit c hard --capability gpu,cuda)
easy=$(choir submit c easy)
ends 0 choir work c --once --exec true
is 'who cannot takes what it can' queued "$(state "$hard")"
is 'past it' completed "$(state "$easy")"
ends 0 choir work c --once --capability cuda --capability gpu,web --exec true
is 'who can takes it' completed "$(state "$hard")"
ends 1 choir submit c x --capability a,a
like 'twice is once too often' '^INVALID .*field=capabilities' "$err"

# times
late=$(choir submit t x --not-before 1h --deadline 2h)
like 'show has both' 'not before [0-9T:.-]+Z' "$(choir task show "$late")"
like 'in order' 'deadline +[0-9T:.-]+Z' "$(choir task show "$late")"
short=$(choir submit t y --deadline 200ms)
until_true is_state "$short" dead
like 'past its deadline it is dead' 'reason +the deadline has passed' "$(choir task show "$short")"
ends 1 choir submit t z --deadline 2020-01-01T00:00:00Z
like 'a deadline that is over is refused' '^INVALID .*field=deadline' "$err"

# a parent and its children, submitted under its lease
root=$(choir submit p x)
choir work p --exec "choir submit q child --parent \$CHOIR_TASK >$CHOIR_TMP/child; trap 'exit 1' TERM; : >$CHOIR_TMP/parent; while :; do sleep 0.05; done" 2>/dev/null &
worker=$!
until_true [ -e "$CHOIR_TMP/parent" ]
child=$(<"$CHOIR_TMP/child")
is 'the child knows it' "$root" "$(choir task show "$child" --json | field parent)"
like 'the parent shows it' "child +$child queued" "$(choir task show "$root")"
ends 0 choir task cancel "$root"
until_true is_state "$child" cancelled
like 'cancelling goes down' "reason +its parent, task $root, was cancelled" "$(choir task show "$child")"
kill -INT $worker
wait $worker

# pieces of a result, and a question
choir work a --once --exec '
    choir task partial "piece one" >/dev/null; echo piece two | choir task partial >/dev/null
    printf "%s and done" "$(choir task ask "which?")"' 2>/dev/null &
worker=$!
choir submit a go --wait >"$CHOIR_TMP/result" 2>"$CHOIR_TMP/told" &
waiter=$!
until_true has "$CHOIR_TMP/told" 'asks: which?'
task=$(sed -n 's/^task \([0-9]*\)$/\1/p' "$CHOIR_TMP/told")
is 'it waits for input' input_required "$(state "$task")"
is 'and is listed so' "$task" "$(choir task ls --state input_required --json | field task)"
ends 1 choir task input "$task" no --question 1
like 'to another question it is no answer' '^CONFLICT ' "$err"
ends 0 choir task input "$task" this --id answer-1
ends 1 choir task input "$task" this --id answer-1
like 'the answer is given once' '^REPEATED ' "$err"
wait $waiter
is 'the waiter ends with 0' 0 $?
wait $worker
is 'the answer came to the command' 'this and done' "$(<"$CHOIR_TMP/result")"
is 'the pieces came as they were said' 'piece one|piece two|' "$(grep piece "$CHOIR_TMP/told" | tr '\n' '|')"
out=$(choir task show "$task" --json)
is 'show has them all' '2 piece two which? this' "$(for f in partials partial question input; do field $f <<<"$out"; done | tr '\n' ' ' | sed 's/  */ /g; s/ $//')"
ends 2 choir task ask what
like 'outside of work there is nobody to ask for' 'choir work' "$err"

# many at once
printf 'a\nb\n\nc' >"$CHOIR_TMP/lines"
ends 0 choir submit b --bulk "$CHOIR_TMP/lines" --priority 4 --id load
is 'a line is a task, an empty one too' 4 "$(wc -l <<<"$out")"
ids=$out
is 'each has its payload' 'c' "$(choir task show "$(tail -1 <<<"$ids")" --json | field value)"
is 'and the options' 4 "$(choir task show "$(head -1 <<<"$ids")" --json | field priority)"
is 'said again it is the same' "$ids" "$(choir submit b --bulk - --id load <"$CHOIR_TMP/lines")"
printf '%s\n' '{"value":"x","priority":9}' 'nonsense' '{"value_json":{"a":1},"max_attempts":0}' '{"value":"y","needs":[{"task":1}]}' '{"value":"z"}' >"$CHOIR_TMP/json"
ends 1 choir submit b --bulk "$CHOIR_TMP/json" --lines json
is 'what is refused has no id' 'n - - - n ' "$(awk '{ printf "%s ", ($0 ~ /^[0-9]+$/ ? "n" : $0) }' <<<"$out")"
like 'and its line says why' 'line 2: MALFORMED' "$err"
like 'from the broker, too' 'line 3: INVALID' "$err"
like 'each of them' 'line 4: NOT_FOUND' "$err"
seq 1 20000 >"$CHOIR_TMP/many"
ends 0 choir submit m --bulk "$CHOIR_TMP/many"
is 'twenty thousand are many' 20000 "$(sort -un <<<"$out" | wc -l)"
is 'and in order' 20000 "$(choir task show "$(tail -1 <<<"$out")" --json | field value)"

# queues
ends 1 choir --as nobody queue pause w
like 'it takes an administrator' '^DENIED ' "$err"
ends 0 "${me[@]}" queue pause w
task=$(choir submit w x)
choir work w --once --exec true 2>/dev/null &
worker=$!
ends 0 choir queue ls
like 'ls says so' 'paused +1 +0 +- +w' "$out"
is 'nothing is handed out' queued "$(state "$task")"
ends 0 "${me[@]}" queue resume w
wait $worker
is 'until it is resumed' completed "$(state "$task")"
ends 0 "${me[@]}" queue drain w
ends 1 choir submit w y
like 'a draining one takes nothing' '^DRAINING queue=w' "$err"
ends 0 "${me[@]}" queue limit w 1
ends 0 "${me[@]}" queue resume w
ends 0 choir submit w y
ends 1 choir submit w z
like 'its limit is told' '^OVER_LIMIT queue=w field=queue_tasks_max size=1 limit=1' "$err"
is 'as an object' paused "$("${me[@]}" queue pause w >/dev/null; choir queue ls --json | grep '"w"' | field state)"
ends 2 choir queue stop w
like 'other words are none' 'there is ls, pause' "$err"

finish
