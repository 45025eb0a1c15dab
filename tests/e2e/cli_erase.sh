#!/bin/bash
# A value is forgotten while the broker runs, and everybody still verifies it.
# test-timeout: 120
. tests/e2e/cli.bash
config=$CHOIR_TMP/small.conf
cat >"$config" <<'X'
segment_bytes = 64KiB
bundle_bytes_max = 16KiB
value_bytes_max = 8KiB
X
start_broker
on_disk() { grep -qa "$1" "$CHOIR_DATA"/segment-*; }
gone() { ! on_disk "$1"; }
verified() {
    ends 0 choir verify "$CHOIR_DATA"
    ends 0 choird --data "$CHOIR_DATA" --verify
}

# one value
secret=$(choir put plan the-secret-word)
choir put plan another-word >/dev/null
choir receipt "$secret" >"$CHOIR_TMP/receipt"
ends 1 choir --as mallory erase "plan@$secret"
like 'an administrator is needed' DENIED "$err"
ends 0 choir erase "plan@$secret" --reason 'it was a secret'
is 'what is gone is printed' "plan@$secret" "$out"
ends 1 choir get plan --at "$secret"
like 'who asks is told' ERASED "$err"
is 'the others are as they were' another-word "$(choir get plan)"
until_true gone the-secret-word
on_disk another-word && ok || bad 'another-word is no longer there'
ends 0 choir verify "$CHOIR_TMP/receipt" --key "$CHOIR_DATA/broker.identity"
like 'a receipt from a pipe' '^proven: entry ' \
    "$(choir verify - --key "$CHOIR_DATA/broker.identity" <"$CHOIR_TMP/receipt")"
sed 'y/ABCD/BCDA/' "$CHOIR_TMP/receipt" >"$CHOIR_TMP/bent"
choir verify - --key "$CHOIR_DATA/broker.identity" <"$CHOIR_TMP/bent" >/dev/null 2>"$CHOIR_TMP/err"
is 'a bent one is not proven' 4 $?
choir verify - <"$CHOIR_TMP/receipt" 2>"$CHOIR_TMP/err"
is 'and none without a key' 2 $?
choir verify - --show --key "$CHOIR_DATA/broker.identity" <"$CHOIR_TMP/receipt" 2>"$CHOIR_TMP/err"
is 'it has no entries to show' 2 $?
ends 1 choir erase plan@1
like 'what is no version is not found' NOT_FOUND "$err"

# with what came of it
for _ in 1 2 3; do choir incr hits >/dev/null; done
last=$(choir get hits --json | field revision)
second=$(choir get hits --json | field prev)
first=$(choir get hits --at "$second" --json | field prev)
ends 0 choir erase "hits@$first"
is 'derived versions are named' "hits@$first
hits@$second derived
hits@$last derived" "$out"
ends 1 choir get hits
like 'and gone' ERASED "$err"
ends 1 choir incr hits
like 'nothing is made from it' 'CONFLICT.*erased' "$err"
ends 0 choir put hits --type json 7
ends 0 choir erase hits --json
like 'as JSON' '"items"' "$out"
ends 0 choir put hits --type json 1
choir incr hits >/dev/null
middle=$(choir get hits --json | field revision)
choir incr hits >/dev/null
ends 0 choir erase "hits@$middle" --only
is 'only that one' 3 "$(choir get hits --json | field value_json)"

# by rule
for i in 1 2 3; do
    before=${at:-} at=$(choir --as eve put notes "note-of-eve-$i")
    [ "$i" -gt 1 ] && taken+="
notes@$before"
done
choir --as eve incr hits >/dev/null
choir incr hits >/dev/null
derived=$(choir get hits --json | field revision)
ends 1 choir --as eve erase --history notes
ends 1 choir erase --history "notes@$((at + 1000))"
like 'a revision that is not there yet' "^FUTURE.*$((at + 1000))" "$err"
ends 0 choir erase --history "notes@$((at - 1))"
is 'how many, and which' "2 payloads$taken" "$out"
is 'the newest is still there' note-of-eve-3 "$(choir get notes)"
choir --as eve send admin 'hello-from-eve' >/dev/null
choir --as eve submit jobs 'work-for-eve' >/dev/null
ends 0 choir erase --agent eve --reason 'she left'
is 'all that eve wrote, and what came of it' "hits@$derived derived" "$(tail -n +2 <<<"$out")"
ends 1 choir get notes
like 'nothing of it is told' ERASED "$err"
ends 0 choir erase --agent eve --json
like 'again: nothing more' '"count":' "$out"
task=$(choir submit jobs work-to-forget)
ends 0 choir erase --entry "$task"
is 'one entry' '1 payloads' "$out"
ends 1 choir erase --entry 99999
like 'an entry that is not there yet' '^FUTURE.*99999' "$err"
choir rm notes >/dev/null
ends 0 choir erase --history notes --json
like 'each version, deletes apart' "\"versions\":\[([0-9]+,){2}$at\]" "$out"
like 'its task says so' ERASED "$(choir task show "$task" --json)"
until_true gone work-for-eve
until_true gone note-of-eve
until_true gone work-to-forget
ends 2 choir erase
ends 1 choir erase notes@0
like 'revision 0 is not the newest' NOT_FOUND "$err"
ends 2 choir erase notes --agent eve

mkdir "$CHOIR_TMP/copies"
ends 0 choir backup "$CHOIR_TMP/copies/one"
ends 0 choir verify "$CHOIR_TMP/copies/one"
stop_broker
verified
ends 0 node tests/reader/verify.mjs "$CHOIR_DATA"
start_broker
ends 1 choir get plan --at "$secret"
like 'replayed, and still erased' ERASED "$err"

# what is missing although no entry erased it is damage: a copy from before, with
# a segment from after
block=$(head -c 4000 /dev/zero | tr '\0' x)
for i in {1..400}; do echo "{\"op\":\"put\",\"key\":\"fill\",\"value\":\"fill-$i- $block\"}"; done | choir pipe >"$CHOIR_TMP/filled"
at=$(sed -n 's/.*"revision":\([0-9]*\).*/\1/p' "$CHOIR_TMP/filled" | head -n 1)
ends 0 choir backup "$CHOIR_TMP/copies/two"
ends 0 choir verify "$CHOIR_TMP/copies/two"
ends 0 choir erase "fill@$at"
until_true gone 'fill-1- xxxx'
n=$(for s in "$CHOIR_DATA"/segment-*; do cmp -s "$s" "$CHOIR_TMP/copies/two/${s##*/}" || { basename "$s"; break; }; done)
cp "$CHOIR_DATA/$n" "$CHOIR_TMP/copies/two/$n"
ends 4 choir verify "$CHOIR_TMP/copies/two"
like 'it says which' 'a payload is missing' "$err"
ends 1 choird --data "$CHOIR_TMP/copies/two" --verify
ends 1 node tests/reader/verify.mjs "$CHOIR_TMP/copies/two"

# killed at each step: the next start finds one file or the other
for step in written linked renamed; do
    word="secret-until-$step"
    at=$(choir put doomed "$word")
    ends 0 choir put doomed fine
    stop_broker
    export CHOIR_FAILPOINT=ledger.thin.$step
    start_broker "$CHOIR_BUILD/failpoint/choird"
    unset CHOIR_FAILPOINT
    until_it_dies choir erase "doomed@$at"
    is "killed when $step" 137 $?
    verified # with all that lies about
    start_broker
    ends 1 choir get doomed --at "$at"
    like "killed when $step: erased" ERASED "$err"
    until_true gone "$word"
    is "killed when $step: as it was" fine "$(choir get doomed)"
    stop_broker
    is "and nothing is left behind" '' "$(find "$CHOIR_DATA" -maxdepth 1 -name 'segment*.*')"
    verified
    start_broker
done
stop_broker
ends 0 node tests/reader/verify.mjs "$CHOIR_DATA" # all three at once
finish
