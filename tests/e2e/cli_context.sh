#!/bin/bash
# Keys from the command line: what is written is read, each refusal has its
# code on standard error and its exit code.
. tests/e2e/cli.bash
start_broker

ends 0 choir put plan one
first=$out
like 'put prints the revision' '^[0-9]+$' "$out"
is 'and nothing else' '' "$err"
ends 0 choir get plan
is 'get prints the value' one "$out"
is 'byte for byte, no newline' 3 "$(choir get plan | wc -c)"
ends 0 choir put plan two --if-revision "$first"
second=$out
ends 1 choir put plan three --if-revision "$first"
is 'a conflict says all' "CONFLICT key=plan base=$first current=$second writer=choir: the key is not at the revision you named" "$err"
is 'and prints nothing' '' "$out"
ends 1 choir --json put plan three --if-absent
is 'with --json it is an object' CONFLICT "$(field outcome <<<"$out")"
ends 0 choir get plan --at "$first"
is 'the past stays' one "$out"
ends 1 choir get plan --at 99999999
like 'the future is not yet' '^FUTURE ' "$err"
ends 1 choir get nothing
like 'what is not there' '^NOT_FOUND key=nothing' "$err"

# bytes
printf 'a\0b\xff' >"$CHOIR_TMP/bytes"
choir put raw - <"$CHOIR_TMP/bytes" >/dev/null
choir get raw | cmp -s - "$CHOIR_TMP/bytes" && ok || bad 'bytes come back as they were'
is 'in JSON they are base64' YQBi/w== "$(choir --json get raw | field value_base64)"
choir put empty - </dev/null >/dev/null
ends 0 choir get empty
is 'an empty value is one' '' "$out"
ends 0 choir put tree '{"n":9007199254740991,"l":[1,null]}' --type application/msgpack
is 'msgpack is shown as JSON' '{"n":9007199254740991,"l":[1,null]}' "$(choir --json get tree | field value_json)"
ends 0 choir put doc '# x' --type text/markdown
is 'a type is kept' text/markdown "$(choir get --json doc | field type)"
head -c 1048577 /dev/zero >"$CHOIR_TMP/large"
choir put large - <"$CHOIR_TMP/large" 2>"$CHOIR_TMP/err"
is 'a value over the limit is refused' 1 $?
like 'by its limit' '^(OVER_LIMIT|TOO_LARGE) .*limit=1048576' "$(<"$CHOIR_TMP/err")"

# keys that end by themselves
choir watch brief --since 1 >"$CHOIR_TMP/ends" 2>&1 &
watching=$!
ends 0 choir put brief x --ttl 300ms
ends 0 choir put long x --ttl 1h
deleted() { ! choir get brief >/dev/null 2>&1; }
until_true deleted
seen() { grep -q delete "$CHOIR_TMP/ends"; }
until_true seen
kill $watching
ends 1 choir get brief
like 'it is not there' '^NOT_FOUND key=brief' "$err"
like 'its log says that it was deleted' delete "$(choir log brief | head -n1)"
ends 0 choir get long
ends 1 choir put brief x --ttl 0
like 'a life of nothing is none' '^INVALID' "$err"
ends 1 choir put brief x --ttl 4000d
like 'nor is one beyond the limit' '^OVER_LIMIT .*limit=315360000000' "$err"
ends 2 choir put brief x --ttl soon

# operation ids
ends 0 choir put once x --id op-1
first=$out
ends 1 choir put once y --id op-1
like 'an id is used once' "^REPEATED .*first=$first" "$err"

# txn
cat >"$CHOIR_TMP/txn" <<TXN
{"compares": [{"key": "plan", "revision": $second}, {"key": "a/1", "revision": 0}],
 "writes": [{"key": "a/1", "value": "x"}, {"key": "a/2", "value_json": [1]}, {"key": "once"}]}
TXN
ends 0 choir txn "$CHOIR_TMP/txn"
ends 1 choir get once
ends 1 choir txn "$CHOIR_TMP/txn"
like 'all or nothing' '^CONFLICT key=a/1' "$err"
echo '{"writes": [{"key": "a", "colour": "red"}]}' >"$CHOIR_TMP/txn"
ends 1 choir txn "$CHOIR_TMP/txn"
like 'an unknown field is refused, not skipped' '^UNSUPPORTED field=colour' "$err"

# ls, log, rm
ends 0 choir ls a/
is 'ls' $'a/1\na/2' "$out"
ends 0 choir ls a/ --json
is 'ls --json is a line a key' 2 "$(wc -l <<<"$out")"
is 'with the names of proto/' a/1 "$(field key <<<"$out")"
ends 0 choir ls --long a/1
like 'ls --long' '^ +[0-9]+ +1 +choir +- +a/1$' "$out"
for i in {1..30}; do echo "{\"op\":\"put\",\"key\":\"many/$i\",\"value\":\"$i\"}"; done | choir pipe >/dev/null
is 'ls --count' 7 "$(choir ls many/ --count 7 | wc -l)"
ends 0 choir rm plan
ends 1 choir rm plan
like 'what is gone is gone' '^NOT_FOUND key=plan' "$err"
ends 0 choir log plan
is 'log tells all versions' 'delete put put' "$(awk '{print $3}' <<<"$out" | tr '\n' ' ' | sed 's/ $//')"
ends 0 choir log plan --count 1 --json
is 'log --json' delete "$(field kind <<<"$out")"
ends 0 choir put $'odd\x1b[31m' x
like 'control characters are not passed on' 'odd\\x1b\[31m' "$(choir ls odd)"

# watch
ends 0 choir watch a/ --since 1 --count 1 --json
is 'a revision comes whole' 2 "$(field items <<<"$out" | grep -o '"key":' | wc -l)"
choir watch live/ --count 2 >"$CHOIR_TMP/watch" 2>&1 &
watcher=$!
until_true sh -c 'choir status --json | grep -q "\"watches\":1"'
choir put live/1 x >/dev/null
choir rm live/1 >/dev/null
wait $watcher
is 'watch --count ends with 0' 0 $?
is 'in order' 'put delete' "$(awk '{print $3}' "$CHOIR_TMP/watch" | tr '\n' ' ' | sed 's/ $//')"
choir watch live/ 2>"$CHOIR_TMP/err" &
watcher=$!
until_true sh -c 'choir status --json | grep -q "\"watches\":1"'
kill -INT $watcher
wait $watcher
is 'interrupted is 130' 130 $?
is 'and says nothing more' '' "$(<"$CHOIR_TMP/err")"

# the past need not be kept
choir put past/a 1 >/dev/null
line=$(choir put past/a 2)
choir put past/a 3 >/dev/null
ends 2 choir compact
like 'from where on is to be said' 'either --at N or --keep-age TIME' "$err"
ends 0 choir compact --keep-age 1h
is 'nothing is an hour old' 0 "$out"
ends 0 choir compact --at "$line" --reason tidy
is 'compact prints the line' "$line" "$out"
ends 0 choir get past/a --at "$line"
is 'at the line all is as it was' 2 "$out"
ends 1 choir get past/a --at $((line - 1))
like 'below it is nothing to be had' '^COMPACTED ' "$err"
ends 0 choir log past/a
is 'a log ends there' 2 "$(wc -l <<<"$out")"
like 'and says so' 'older versions were compacted' "$err"
ends 0 choir watch past/ --since 1 --count 2
is 'a watch from below it tells what is kept' 2 "$(wc -l <<<"$out")"
ends 0 choir compact --keep-age 0s --space other
ends 1 choir --as ada compact --at "$line"
like 'administrators say it' '^DENIED' "$err"

# who and where
ends 0 choir --as ada put by-ada x
is 'an agent for each name' ada "$(choir ls --long by-ada | awk '{print $3}')"
ends 0 choir --space other put k v
ends 1 choir get k
ends 0 choir get k --space other
ends 0 choir status
like 'status' $'\nkeys +[0-9]+' "$out"
is 'status --json is one object' 1 "$(choir status --json | field epoch)"
ends 0 choir doctor
like 'the doctor tells of the disk' 'ok +disk' "$out"
like 'and of the clock' "ok +clock +the broker's is [-+][0-9]+ ms from ours" "$out"

stop_broker
ends 3 choir --timeout 0.3 get k
like 'nobody answers' '^UNREACHABLE ' "$err"
unset broker
finish
