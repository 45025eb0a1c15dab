#!/bin/bash
# What changed, from the command line: since a revision, between two.
. tests/e2e/cli.bash
start_broker

quiet=$(choir put quiet x)
choir put plan one >/dev/null
was=$(choir put plan two)
choir put old x >/dev/null
then=$(choir status --json | field size)
then=$((then - 1))
choir --as ada put plan three >/dev/null
now=$(choir --as ada put plan four)
choir --as ada put new/a x >/dev/null
rm=$(choir rm old)

# since
ends 0 choir since "$then" --keys-only
is 'one line a key, in order' 'new/a old plan' "$(awk '{print $NF}' <<<"$out" | tr '\n' ' ' | sed 's/ $//')"
like 'with its revision, time, what it was, how many versions and who' \
    "(^|"$'\n'") *$now +20[0-9TZ:.-]+ +put +$was +2 +ada +plan($|"$'\n'")" "$out"
like 'a deletion is told' " $rm +20[0-9TZ:.-]+ +delete +[0-9]+ +1 +choir +old" "$out"
like 'what was absent was 0' 'put +0 +1 +ada +new/a' "$out"
like 'and how far it is complete' "^complete up to revision [0-9]+$" "$err"
head=${err##* }
ends 0 choir since "$head"
is 'nothing since then' '' "$out"
ends 0 choir since "$then" new/ --keys-only
is 'under a prefix' 1 "$(wc -l <<<"$out")"
ends 0 choir --json since "$then" plan
is '--json has the names of proto/' "put $was 2 $now" \
    "$(field kind prev count revision <<<"$out")"
like 'and ends with how far' '^caught_up [0-9]+$' \
    "$(field event revision <<<"${out##*$'\n'}")"
ends 1 choir since 99999999
like 'the future is not yet' '^FUTURE ' "$err"
ends 2 choir since yesterday plan
like 'N is a number' 'N is a whole number' "$err"

# what was written
choir put doc $'one\ntwo\nthree\n' >/dev/null
choir put tree '{"steps": ["the first of the steps", "the second of the steps"], "owner": "ada"}' --type application/msgpack >/dev/null
printf '\377\376' | choir put raw - >/dev/null
doc=$(choir status --json | field size)
doc=$((doc - 1))
choir put doc $'one\n2\nthree\n' >/dev/null
choir put tree '{"steps": ["the first of the steps", "the last of the steps"], "owner": "ada"}' --type application/msgpack >/dev/null
choir rm raw >/dev/null
choir put esc $'\e[31mred' >/dev/null
ends 0 choir since "$doc"
like 'maps differ in elements' $'\n +- +"the second of the steps"\n +[+] +"the last of the steps"\n' "$out"
like 'bytes are only counted' $'\n +-[(]2 bytes[)]' "$out"
like 'nothing gets at the terminal' '[+]\\x1b\[31mred' "$out"
ends 0 choir since "$doc" doc
is 'texts differ in lines' $'@@ -1,3 +1,3 @@\n one\n-two\n+2\n three' "$(tail -n +2 <<<"$out" | cut -c11-)"
ends 0 choir --json since "$doc" doc
is '--json has both values' $'one\n2\nthree\n one\ntwo\nthree' "$(field value prev_value <<<"$out")"
ends 0 choir --json since "$doc" tree
like 'in the form they have' '"steps":\["[^"]*","the second of the steps"' "$(field prev_value_json <<<"$out")"

# resume: here, then away, then back
choir --as ada resume >/dev/null
choir put plan five >/dev/null
ends 0 choir --as ada resume --peek
like 'a text for a prompt' '^Since you were here, revision [0-9]+ up to [0-9]+, 1 key changed.' "$out"
like 'who did what' $'\nplan: changed by choir at 20[0-9TZ:-]+, revision [0-9]+, was '"$now"$'\n    @@ -1,1 \\+1,1 @@\n    -four\n    [+]five' "$out"
ends 0 choir --as ada since --keys-only
is 'since without N: since it was here' plan "$(awk '{print $NF}' <<<"$out")"
ends 0 choir --as ada resume --json
is 'peek left the mark, and JSON tells the same' 'put plan choir false' \
    "$(field kind key name own <<<"$out")"
ends 0 choir --as ada resume
like 'once is enough' 'nothing changed' "$out"
ends 0 choir --as ada since
is 'for since, too' '' "$out"
ends 0 choir --as ada since plan --keys-only
is 'each prefix has a mark of its own' plan "$(awk '{print $NF}' <<<"$out")"
ends 0 choir --as ada resume --since 0 new/
ends 0 choir --as ada resume --mark other --budget 512
like 'or one by name' '^You were not here before' "$out"
is 'as long as one may' True "$([ ${#out} -le 512 ] && echo True)"
ends 1 choir --as ada resume --budget 10
like 'not shorter' '^INVALID budget_bytes=10: at least 512' "$err"
choir put plan six >/dev/null
choir --as ada resume >/dev/full 2>"$CHOIR_TMP/err"
is 'what could not be shown was not read' 1 $?
like 'and says so' 'the mark stays' "$(<"$CHOIR_TMP/err")"
ends 0 choir --as ada resume
like 'so it comes again' '[+]six' "$out"

# diff
ends 0 choir diff "$quiet" "$was" --keys-only
is 'diff is between two' plan "$(awk '{print $NF}' <<<"$out")"
ends 0 choir diff "$was" "$head" plan --json
is 'diff --json' "$was" "$(field prev <<<"$out")"
ends 2 choir diff 9 3
like 'the older one comes first' 'N is the older one: 9 is larger than 3' "$err"
ends 1 choir diff 1 99999999
like 'no diff with the future' '^FUTURE ' "$err"

# after compaction: keys as before, values as far as they are kept
choir put kept one >/dev/null
before=$(choir put kept two)
choir put kept three >/dev/null
line=$(choir put other x)
ends 0 choir compact --at "$line"
ends 0 choir since "$before" kept
like 'what it was is gone' $'\n +-[(]no longer kept[)]\n +[+]three' "$out"
choir put kept four >/dev/null
ends 0 choir --json since "$before" kept
is 'in JSON it is not there' 'four null' "$(field value prev_value <<<"$out")"
ends 0 choir --as new resume kept
like 'resume shows what is there' $'\n    four' "$out"

# pages, by way of a worker's socket, and over many keys
for i in {1..600}; do echo "{\"op\":\"put\",\"key\":\"many/$i\",\"value\":\"$i\"}"; done | choir pipe >/dev/null
is 'page after page' 600 "$(choir since "$head" many/ --keys-only 2>/dev/null | wc -l)"
choir submit jobs x >/dev/null
ends 0 choir work jobs --once --exec "choir since $head many/10 --json --keys-only | wc -l >$CHOIR_TMP/lines"
is 'inside a task, too' 12 "$(tr -d ' ' <"$CHOIR_TMP/lines")"
finish
