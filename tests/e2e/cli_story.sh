#!/bin/bash
# A plans, B codes from the plan, C goes on from the code: why leads back to the
# plan, impact of the plan and of A on to all of it.
. tests/e2e/cli.bash
start_broker

plan=$(choir --as ada put plan one)
other=$(choir --as ada put other x)
task=$(choir --as ada submit q 'code it')
choir --as bob work q --once --exec 'choir get plan >/dev/null; choir put code c' >/dev/null 2>&1
code=$(choir log code --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["revision"])' 2>/dev/null ||
    choir get code --json | field revision)
merged=$(choir --as cid put code d --if-revision "$code")

ends 0 choir why code
like 'the last version rests on the one before' "^ +$merged .* put +code +cid.*<- base $code" "$out"
like 'that one on a lease and on the plan' \
    "$code .* put +code task $task .*bob.*<- .*lease [0-9]+.*read $plan|$code .* put .*read $plan.*lease" "$out"
like 'the lease on its task' "claim +task $task.*<- claim $task" "$out"
like 'the plan stands there with its author' "$plan .* put +plan +ada" "$out"
ends 0 choir why "code@$code"
is 'as of then' '' "$(grep -c " $merged " <<<"$out" | grep -v 0)"

ends 0 choir impact plan
like 'of the plan: the code' "$code .*<- .*read $plan" "$out"
like 'and what was made of it' "$merged .*<- base $code" "$out"
is 'and nothing else' '' "$(grep -w "$other" <<<"$out")"
ends 0 choir impact --agent ada --json
is 'of ada: all of it' True "$(python3 -c '
import json, sys
o = json.load(sys.stdin)
there = {n["revision"] for n in o["nodes"]}
print(all(int(x) in there for x in sys.argv[1:]) and not o["more"])
' "$plan" "$other" "$task" "$code" "$merged" <<<"$out")"
ends 0 choir impact --agent ada --since "$((other + 1))"
is 'from there on' '' "$(grep -E "^ +$plan " <<<"$out")"
like 'her task, and what came of it' "$task .* submit" "$out"
ends 0 choir impact plan --dot
like 'for Graphviz' "n$code -> n$plan \[label=\"read\"\]" "$out"
ends 0 choir impact plan --limit 1
like 'what is left out is said' 'there is more: --limit' "$err"
like 'and where' '\[more\]' "$out"
ends 0 choir impact plan --depth 1
like 'no further than that' '\[depth\]' "$out"

choir suspect ada "$plan" >/dev/null
ends 0 choir why code
like 'doubt is said' "plan +ada.*SUSPECT since $plan" "$out"

ends 1 choir why nothing
ends 2 choir impact
ends 2 choir impact plan --agent ada
ends 2 choir impact plan --since 3

stop_broker
rm "$CHOIR_DATA"/links-* 2>/dev/null
start_broker
ends 0 choir impact plan
like 'made anew when it is missing' "$code .*<- .*read $plan" "$out"
finish
