#!/bin/bash
# Whatever an agent said is erased: nothing that anybody can ask for tells it,
# before the bytes have left the disk and after.
# test-timeout: 240
. tests/e2e/cli.bash
start_broker
word=the-word-to-forget
map="{\"deep\": {\"said\": \"$word\"}}"

# eve says it wherever there is something to say it in
choir put first hello >/dev/null
before=$(choir get first --json | field revision)
ends 0 choir policy lists/ append
ends 0 choir policy maps/ merge
eve() { choir --as eve "$@"; }
ends 0 eve put plain "$word"
plain=$(choir get plain --json | field revision)
ends 0 eve put plain "$word-again"
ends 1 eve put plain "$word-refused" --if-absent
ends 0 eve put maps/a --type json "$map"
base=$(choir get maps/a --json | field revision)
ends 0 eve put maps/a --type json '{"deep": {"said": "other"}}' --if-revision "$base"
ends 1 eve put maps/a --type json "{\"deep\": {\"said\": \"$word, again\"}}" --if-revision "$base"
ends 0 eve append lists/a "$word"
ends 0 choir append lists/a fine
printf '%s\n' "{\"writes\": [{\"key\": \"t/a\", \"value\": \"$word\"}, {\"key\": \"t/b\", \"value\": \"$word\"}]}" >"$CHOIR_TMP/txn"
ends 0 eve txn "$CHOIR_TMP/txn"
ends 0 choir --as ada put hers hello
ends 0 eve send ada "$word"
ends 0 eve send topic:news "$word"
waiting=$(eve submit waiting "$word")
done=$(eve submit jobs "$word")
printf '%s\n' "choir task progress $word" "choir task partial $word" \
    "choir put from-the-job $word >/dev/null" "echo $word" >"$CHOIR_TMP/job"
ends 0 eve work jobs --exec "sh $CHOIR_TMP/job" --once
asked=$(eve submit questions fine)
printf '%s\n' "choir task ask $word" >"$CHOIR_TMP/ask"
choir --as eve work questions --exec "sh $CHOIR_TMP/ask" --once >"$CHOIR_TMP/asker" 2>&1 &
asker=$!
asks() { [ "$(choir task show "$asked" --json | field state)" = input_required ]; }
until_true asks
ends 0 eve task input "$asked" "$word"
until_true sh -c "! kill -0 $asker 2>/dev/null"
head=$(($(eve put last fine) + 1))

everything() {
    local n
    for n in plain maps/a lists/a t/a t/b from-the-job; do
        choir get $n; choir log $n --json; choir blame $n --json; choir why $n --json
    done
    choir merge maps/a --base "$base" --type json '{"deep": {"said": "third"}}'
    choir get plain --at "$plain"; choir get maps/a --at "$base" --json
    choir ls --long; choir since "$before"; choir since "$before" --json; choir diff "$before" "$plain"
    choir diff "$before" "$plain" --json; choir resume --since "$before" --peek
    timeout 2 choir watch --since "$before" --json
    timeout 2 choir tap --since 0 --values --json
    for n in $waiting $done $asked; do choir task show "$n" --json; done
    choir task ls --json; choir agents --all --json
    choir --as ada inbox --keep --json; choir inbox --topic news --keep --json
    choir receipt "$plain"; choir why "$done" --json
    { printf '{"op": "entries", "size": %s, "revision": 0, "count": 80}\n' "$head"
      printf '%s\n' '{"op": "work", "queue": "waiting", "space": "main", "credit": 1}' \
        "{\"op\": \"await\", \"task\": $done, \"count\": 0}" "{\"op\": \"await\", \"task\": $asked, \"count\": 0}"
      sleep 1; } | timeout 2 choir pipe
}
# in base64, too, wherever it begins
coded=$(for n in '' x xx; do printf %s "$n$word" | base64 -w0 | cut -c5-20; done | paste -sd'|')
tells() { everything >"$CHOIR_TMP/told" 2>&1 </dev/null; grep -aE "$word|$coded" "$CHOIR_TMP/told"; }
tells >"$CHOIR_TMP/lines"
n=$(wc -l <"$CHOIR_TMP/lines")
[ "$n" -gt 20 ] && ok || bad "it is told before: $n lines"
ends 0 choir erase --agent eve --space '*'
is 'nothing tells it' '' "$(tells)"
on_disk() { grep -lqa "$word" "$CHOIR_DATA"/*; }
gone() { ! on_disk; }
until_true gone
is 'nothing tells it, and nothing is there' '' "$(tells)"
stop_broker
start_broker
is 'nor after a restart' '' "$(tells)"
stop_broker
ends 0 choird --data "$CHOIR_DATA" --verify
ends 0 choir verify "$CHOIR_DATA"
ends 0 node tests/reader/verify.mjs "$CHOIR_DATA"
finish
