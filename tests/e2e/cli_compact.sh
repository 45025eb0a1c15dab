#!/bin/bash
# Space comes back while the broker runs, and everybody still verifies it.
# test-timeout: 300
. tests/e2e/cli.bash
config=$CHOIR_TMP/small.conf
cat >"$config" <<'X'
segment_bytes = 64KiB
bundle_bytes_max = 16KiB
value_bytes_max = 8KiB
X
start_broker

# a hundred and fifty versions of four keys: two segments of a MiB, which is
# prepared at once, and the one being written
four=()
for k in a b c d; do
    printf -v word '%4000s' ''
    four+=("\"key\":\"$k\",\"value\":\"${word// /$k}")
done
versions() {
    local n word
    for ((n = 0; n < 150; n++)); do
        for word in "${four[@]}"; do echo "{\"op\":\"put\",$word $n\"}"; done
    done
}
versions | choir pipe >"$CHOIR_TMP/pipe"
is "all are written" 600 "$(grep -c revision "$CHOIR_TMP/pipe")"
blocks() { cat "$CHOIR_DATA"/segment-* | wc -c; }
before=$(blocks)
line=$(choir status --json | field size)
line=$((line - 10))
was=$(choir get a --at "$line" | md5sum)
ends 0 choir compact --at "$line"
# at the lowest priority: whatever else runs comes first
tries=2000
gone() { [ "$(choir status --json | field reclaimed_bytes)" -gt 800000 ]; }
until_true gone
like 'the files are smaller' '^-' "$(($(blocks) - before + 800000))"
is 'at the line all is as it was' "$was" "$(choir get a --at "$line" | md5sum)"
ends 0 choir watch --since 1 --count 4
is 'a watch has each key once, at least' 4 "$(wc -l <<<"$out")"
mkdir "$CHOIR_TMP/copies"
ends 0 choir backup "$CHOIR_TMP/copies/one"
ends 0 choir verify "$CHOIR_TMP/copies/one"
stop_broker
ends 0 choir verify "$CHOIR_DATA"
ends 0 choird --data "$CHOIR_DATA" --verify
ends 0 node tests/reader/verify.mjs "$CHOIR_DATA"
like 'the second reader counts what is there' '[0-9]+ entries' "$out"

start_broker
is 'replayed, and the same' "$was" "$(choir get a --at "$line" | md5sum)"

# killed at each step: the next start finds one file or the other
for step in written linked renamed; do
    versions | choir pipe >"$CHOIR_TMP/pipe"
    line=$(choir status --json | field size)
    line=$((line - 2))
    was=$(choir get a --at "$line" | md5sum)
    stop_broker
    export CHOIR_FAILPOINT=ledger.thin.$step
    start_broker "$CHOIR_BUILD/failpoint/choird"
    unset CHOIR_FAILPOINT
    until_it_dies choir compact --at "$line"
    is "killed when $step" 137 $?
    start_broker
    ends 0 choir compact --at "$line"
    is "killed when $step: as it was" "$was" "$(choir get a --at "$line" | md5sum)"
    until_true gone
    stop_broker
    is "and nothing is left behind" '' "$(find "$CHOIR_DATA" -maxdepth 1 -name 'segment*.*')"
    ends 0 choir verify "$CHOIR_DATA"
    start_broker
done
finish
