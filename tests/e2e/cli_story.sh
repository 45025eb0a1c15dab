#!/bin/bash
# A plans, B codes from the plan, C goes on from the code: why leads back to the
# plan, impact of the plan and of A on to all of it.
. tests/e2e/cli.bash
start_broker

plan=$(choir --as ada put plan one)
other=$(choir --as ada put other x)
task=$(choir --as ada submit q 'code it')
choir --as bob work q --once --exec 'choir get plan >/dev/null; choir put code c' >/dev/null 2>&1
code=$(choir get code --json | field revision)
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
nodes=$(field nodes <<<"$out") missing=
for n in "$plan" "$other" "$task" "$code" "$merged"; do
    [[ $nodes =~ \"revision\":${n}[,}] ]] || missing+=" $n"
done
is 'of ada: all of it' ' false' "$missing $(field more <<<"$out")"
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

# blame
choir policy conf merge >/dev/null
base=$(choir --as ada put conf '{"a": 1, "b": {"c": 1, "d": 1}}' --type json)
left=$(CHOIR_LABELS=model=m1,label=x choir --as bob put conf '{"a": 2, "b": {"c": 1, "d": 1}}' --type json --if-revision "$base")
right=$(choir --as cid put conf '{"a": 1, "b": {"c": 1, "d": 7}}' --type json --if-revision "$base")
ends 0 choir blame conf
like 'the version itself' "^ +$right .* put +conf +cid" "$out"
like 'a path, proven and reported' "$left .* put +/a +bob \(.*model=m1" "$out"
like 'a nested one that was merged' "$right .* put +/b/d +cid" "$out"
like 'and one that nobody changed' "$base .* put +/b/c +ada" "$out"
ends 0 choir blame "conf@$left"
is 'as of then' '' "$(grep -w cid <<<"$out")"
ends 0 choir blame conf --json
places=$(field places <<<"$out")
is 'for a program' "/a $left /b/c $base /b/d $right" "$(
    while [[ $places =~ ^.([{][^}]*[}]) ]]; do
        places=${places:${#BASH_REMATCH[0]}}
        field text revision <<<"${BASH_REMATCH[1]}"
    done | tr '\n' ' ' | sed 's/ $//')"
ends 0 choir blame conf --dot
like 'for Graphviz' "value -> n$left \[label=\"/a\"\]" "$out"
ends 0 choir blame conf --limit 1
like 'a place too many is said' 'there is more: --limit' "$err"
ends 0 choir receipt "$left"
ends 0 choir blame code
like 'with its task' "$merged .* put +code +cid" "$out"
ends 0 choir blame "code@$code"
like 'with its task' "code +bob .*task $task" "$out"
choir --as ada incr n 40 >/dev/null
choir --as bob incr n -- -2 >/dev/null
choir --as ada incr n >/dev/null
ends 0 choir blame n
like 'shares of a counter' '\+41 in 2 versions +ada' "$out"
like 'and of the other one' ' -2 +bob' "$out"
like 'pipe knows it' '"kind":"place"' \
    "$(choir pipe <<<'{"op": "blame", "id": 1, "key": "conf"}')"
choir compact --at "$right" >/dev/null
ends 0 choir blame conf
like 'the past that is not kept' "$right  or before it: compacted  /a" "$out"
like 'and what is' "^ +$right .* conf +cid" "$out"
choir rm n >/dev/null
ends 0 choir blame n
like 'who deleted it' ' delete +n \(deleted\)' "$out"
ends 1 choir blame nothing
ends 2 choir blame

ends 1 choir why nothing
ends 2 choir impact
ends 2 choir impact plan --agent ada
ends 2 choir impact plan --since 3

stop_broker
rm "$CHOIR_DATA"/links-* 2>/dev/null
start_broker
ends 0 choir impact plan
like 'made anew when it is missing' "$code .*<- .*read $plan" "$out"
# what is too long for a number is a key's name
choir put 99999999999999999999 x >/dev/null
ends 0 choir blame 99999999999999999999
ends 0 choir why 99999999999999999999
like 'and is found as one' '99999999999999999999' "$out"
ends 1 choir get plan@99999999999999999999
like 'behind an @, too' 'NOT_FOUND' "$err"
finish
