#!/bin/bash
# Merge policies from the command line: who loses nothing, who is told, and how
# a person settles a clash.
. tests/e2e/cli.bash
start_broker
value() { choir --json get "$@" | field value_json; }

# policy
ends 0 choir policy plan merge
ends 0 choir policy log/ append
ends 0 choir policy tags set
ends 0 choir policy n counter
ends 0 choir policy strict cas
ends 0 choir policy
is 'all, in order' $'append   log/\ncounter  n\nmerge    plan\ncas      strict\nset      tags' "$out"
ends 0 choir policy log
is 'under a prefix' 'append   log/' "$out"
ends 0 choir --json policy plan
like 'names in JSON' '"prefix":"plan","rule":"merge"' "$out"
ends 2 choir policy plan sometimes
like 'a policy has a name' 'the policies are cas, merge' "$err"
ends 1 choir --as ada policy plan none
like 'not for everyone' '^DENIED ' "$err"
ends 0 choir policy gone cas
ends 0 choir policy gone none
ends 1 choir policy gone none
like 'nothing to take away' '^NOT_FOUND ' "$err"

# cas
ends 0 choir put strict one
ends 1 choir --as ada put strict two
like 'a blind put is told why' '^CONFLICT key=strict reason=here a write names the revision it replaces current=[0-9]+ writer=choir' "$err"
ends 1 choir rm strict

# merge
ends 0 choir put plan '{"title": "one", "steps": {"a": 1, "b": 1}}' --type json
base=$out
ends 0 choir --as ada put plan '{"title": "one", "steps": {"a": 2, "b": 1}}' --type json --if-revision "$base"
ends 0 choir --as bob put plan '{"title": "one", "steps": {"a": 1, "b": 2}, "by": "bob"}' --type json --if-revision "$base"
is 'disjoint edits are both there' '{"by":"bob","steps":{"a":2,"b":2},"title":"one"}' "$(value plan)"
ends 1 choir --as bob put plan '{"title": "two", "steps": {"a": 3, "b": 1}}' --type json --if-revision "$base"
like 'a clash names its place' '^CONFLICT key=plan base=[0-9]+ reason=both changed the same current=[0-9]+ path=/steps/a writer=bob' "$err"

# settling it
yours='{"title": "two", "steps": {"a": 3, "b": 1}}'
ends 1 choir merge plan "$yours" --base "$base"
like 'the place' '^/steps/a'$'\n' "$err"
like 'the base' "  base   \($base, choir\) 1"$'\n' "$err"
like 'theirs' '  theirs \([0-9]+, bob\) 2'$'\n' "$err"
like 'yours' '  yours  3'$'\n' "$err"
is 'nothing is written' '{"by":"bob","steps":{"a":2,"b":2},"title":"one"}' "$(value plan)"
ends 0 choir merge plan "$yours" --base "$base" --take theirs
is 'theirs, and what did not clash' '{"by":"bob","steps":{"a":2,"b":2},"title":"two"}' "$(value plan)"
ends 0 choir merge plan "$yours" --base "$base" --take yours
is 'yours' '{"by":"bob","steps":{"a":3,"b":2},"title":"two"}' "$(value plan)"
base=$(choir --json get plan | field revision)
ends 0 choir put plan '{"a": 1}' --type json --if-revision "$base"
EDITOR="sed -i s/2/7/" ends 0 choir merge plan '{"a": 2}' --base "$base" --take edit
is 'as it was edited' '{"a":7}' "$(value plan)"
EDITOR=false ends 1 choir merge plan '{"a": 2}' --base "$base" --take edit
is 'a failed editor writes nothing' '{"a":7}' "$(value plan)"
ends 2 choir merge plan '{"a": 2}'
like 'needs a base' '\-\-base N' "$err"
ends 2 choir merge plan 'x' --base 1
ends 2 choir merge plan '{}' --base 1 --take mine
ends 0 choir put text x
ends 1 choir merge text '{}' --base "$out"
like 'text does not merge' 'only values put with --type json' "$err"

# append, incr, set
ends 0 choir append log/a one
ends 0 choir --as ada append log/a '{"x": [1]}' --json-value
echo two | choir append log/a - >/dev/null
is 'all that was appended' '["one",{"x":[1]},"two\n"]' "$(value log/a)"
ends 0 choir put log/a '["three"]' --type json
is 'a put adds its elements' '["one",{"x":[1]},"two\n","three"]' "$(value log/a)"
ends 1 choir put log/a text
like 'and is an array' '^INVALID key=log/a reason=here values are of type application/msgpack' "$err"
ends 2 choir append log/a '{' --json-value
ends 0 choir incr n
ends 0 choir incr n 41
ends 0 choir incr n -- -2
is 'the sum' 40 "$(value n)"
ends 2 choir incr n many
ends 1 choir incr log/a
ends 0 choir put tags '["x", "y"]' --type json
ends 0 choir --as ada put tags '["y", "z"]' --type json
ends 0 choir append tags x
is 'the union' '["x","y","z"]' "$(value tags)"
ends 0 choir append tags w --id once
ends 1 choir append tags v --id once
like 'an id is said once' '^REPEATED ' "$err"

# 20 writers, then two processes' worth: none is lost
writers=()
for i in $(seq 20); do choir --as "w$((i % 4))" append log/many "$i" >/dev/null & writers+=($!); done
wait "${writers[@]}"
is '20 parallel writers' 20 "$(value log/many | grep -oE '"[0-9]+"' | sort -u | wc -l)"

# what others see
ends 0 choir tap --values --since "$base" --count 3
ends 0 choir --json tap --values --since 0 --filter verb=append --count 1
like 'the tap has both values' '"values":\[\{"value_json":"one"\},\{"value_json":\["one"\],"merged":true\}\]' "$out"
ends 0 choir --json watch log/a --since 1 --count 2
like 'a watch has the merged value' '"value_json":\["one",\{"x":\[1\]\}\]' "$out"
ends 0 choir --json log n
is 'each addition is a version' 3 "$(grep -c '"agent"' <<<"$out")"
like 'with its size' '"size":1' "$out"
first=$(choir --json log log/a | tail -n1 | field revision)
is 'and as it was then' '["one"]' "$(value log/a --at "$first")"
out=$(choir pipe <<<'{"op": "append", "id": 1, "key": "p", "value": "x"}
{"op": "incr", "id": 2, "key": "q", "value_json": 5}
{"op": "policy_list", "id": 3, "prefix": ""}')
like 'pipe knows them' '"rule":"append"' "$out"
is 'pipe adds text' '["x"]' "$(value p)"
is 'and numbers' 5 "$(value q)"

stop_broker TERM; broker=
ends 0 choird --data "$CHOIR_DATA" --verify
like 'what was merged is computed again' ' merged=[0-9]{2}' "$out"
ends 0 choir verify "$CHOIR_DATA"
finish
