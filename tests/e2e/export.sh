#!/bin/bash
# What `choir export` writes is what both readers accept: of a key, a task, a
# range, a space, an agent, and entries, while keys came and went.
# test-timeout: 120
. tests/e2e/cli.bash
# segments so small that it is worth while to take a few values out of one
config=$CHOIR_TMP/small.conf
cat >"$config" <<'X'
segment_bytes = 1MiB
bundle_bytes_max = 512KiB
value_bytes_max = 256KiB
X
start_broker
file=$CHOIR_TMP/x.export
key=$CHOIR_DATA/broker.identity
# Proven, with so many entries of the selection; by the other reader at the end.
mkdir "$CHOIR_TMP/proven"
entries=()
proven() {
    ends 0 choir verify "$file" --key "$key"
    like "$1: proven" 'proven' "$out"
    cp "$file" "$CHOIR_TMP/proven/$((100 + ${#entries[@]}))"
    entries+=("$1: $2")
}
# The same by the other reader.
all_proven() {
    local hexkey i=0
    hexkey=$(choir verify --json "$CHOIR_TMP/proven/100" | field broker_key)
    ends 0 node tests/reader/export.mjs "$CHOIR_TMP"/proven/* --key "$hexkey"
    while read -r n _; do
        is "${entries[i]%: *}: entries" "${entries[i]}" "${entries[i]%: *}: $n"
        i=$((i + 1))
    done < <(grep ' for identity, ' <<<"$out")
    is 'and that of all' ${#entries[@]} $i
}

# ada writes, rotates, loses her key and comes back; eve is revoked
choir --as ada put plan the-first-word >/dev/null
choir --as eve put plan two >/dev/null
ends 0 choir --as ada key rotate
choir --as ada put plan three >/dev/null
choir --as ada put other aside >/dev/null
ends 0 choir --as ada key recovery "$CHOIR_TMP/away.identity"
old=$(ls "$CHOIR_CONFIG"/ada@*.identity)
cp "$old" "$CHOIR_TMP/stolen.identity"
ends 0 choir --identity "$CHOIR_TMP/stolen.identity" key rotate
choir --identity "$CHOIR_TMP/stolen.identity" put plan stolen >/dev/null
invitation=$(choir invite 2>/dev/null)
ends 0 choir --as ada key recover "$CHOIR_TMP/away.identity" "$invitation"
choir --as ada put plan four >/dev/null
ends 0 choir --as eve put plan five
ends 0 choir revoke eve
ends 0 choir --as ada rm plan
last=$(choir --as ada put plan six)

# a key
ends 0 choir export plan --output "$file"
like 'it is said what is in it' '^exported: 8 entries of [0-9]+, [0-9]+ that say whose the keys are, 7 values: [0-9]+ bytes' "$err"
is 'and nothing on standard output' '' "$out"
proven 'a key' 8
ends 0 choir verify "$file" --json --key "$key"
ends 1 choir export no/such/key --output "$CHOIR_TMP/none"
like 'nothing is no export' '^NOT_FOUND key=no/such/key: nothing belongs to it' "$err"
is 'and leaves no file' '' "$(cd "$CHOIR_TMP" && compgen -G "none*")"

# a task
task=$(choir submit jobs 'do it')
ends 0 choir work jobs --once --exec 'choir put result done >/dev/null; echo fine'
ends 0 choir export --task "$task" --output "$file" --json
is 'as JSON' 4 "$(field entries <<<"$out")"
proven 'a task' 4
# each value is shown as its own type says, in a transaction, too
at=$(choir txn - <<<'{"writes": [{"key": "t/a", "value": "x"}, {"key": "t/b", "value_json": {"deep": [1, 2]}}]}')
choir export "$at" --output "$file.txn"
shown=$(choir verify "$file.txn" --show --json --key "$key" | head -1)
like 'text as text' '"value":"x"' "$shown"
like 'msgpack as JSON' '"value_json":\{"deep":\[1,2\]\}' "$shown"
like 'for a person, too' '\{"deep": \[1, 2\]\}' "$(choir verify "$file.txn" --show --key "$key")"
tapped=$(choir tap --since "$at" --count 1 --values --json)
like 'and by a tap' '"value_json":\{"deep":\[1,2\]\}' "$tapped"
no_task=$(choir put no/task x)
ends 1 choir export --task "$no_task" --output "$file.none"
like 'an entry that made no task is none' 'NOT_FOUND' "$err"

# entries by number, and a range, which the readers count
ends 0 choir export "$last" 1 5 --output "$file"
proven 'entries' 3
ends 0 choir export --range 3..17 --output "$file"
proven 'a range' 15
ends 0 choir export --range 0.. --output "$file"
proven 'all of it' "$(choir verify "$file" --json | field size)"
choir verify "$file" --show --json --key "$key" >"$CHOIR_TMP/told"
ends 1 choir export --range 3..99999 --output "$file"
like 'what is not there yet' '^FUTURE' "$err"

# a space, an agent
choir --space red put k v >/dev/null
ends 0 choir --space red export --output "$file"
proven 'a space' 1
ends 0 choir export --agent eve --output "$file"
eve=$(choir log plan --json | tail -n2 | field agent)
# (the end of her last session may have come too late, or never: who leaves does
# not wait for it)
hers=$(grep -c "\"agent\":\"$eve\"" "$CHOIR_TMP/told")
like 'she enrolled, and twice opened a session and put' '^[5-7]$' "$hers"
proven 'an agent' "$hers"
choir export --agent "$eve" --no-payloads >"$file" 2>"$CHOIR_TMP/err"
proven 'by its id' "$hers"
ends 1 choir export --agent nobody --output "$file"
like 'nobody' '^NOT_FOUND agent=nobody: no agent has that name' "$err"

# to standard output; without values
choir export plan >"$file" 2>"$CHOIR_TMP/err"
proven 'standard output' 8
ends 0 choir export plan --no-payloads --output "$file"
like 'they are left out' '0 values, 7 left out' "$err"
proven 'without values' 8

# what is gone is marked, hidden at first, then off the disk
first=$(choir log plan | tail -n1 | awk '{print $1}')
ends 0 choir erase "plan@$first" --only
ends 0 choir export plan --output "$file"
like 'erased' '6 values, 1 erased' "$err"
proven 'erased' 8
gone() { ! grep -qa the-first-word "$CHOIR_DATA"/segment-*; }
until_true gone
ends 0 choir export plan --output "$file"
like 'erased' '6 values, 1 erased' "$err"
proven 'gone' 8

# the broker goes away and comes back while an export waits for its reader
for i in 1 2 3 4 5 6; do head -c 200000 /dev/zero | tr '\0' "$i" | choir put large - >/dev/null; done
mkfifo "$CHOIR_TMP/fifo"
choir export large >"$CHOIR_TMP/fifo" 2>"$CHOIR_TMP/large.err" &
export=$!
exec 7<"$CHOIR_TMP/fifo"
head -c 1000 <&7 >"$file"
stop_broker
start_broker
cat <&7 >>"$file"
exec 7<&-
wait $export
is 'it goes on' 0 $?
proven 'across a restart' 6
choir export large >"$CHOIR_TMP/fifo" 2>"$CHOIR_TMP/large.err" &
export=$!
exec 7<"$CHOIR_TMP/fifo"
head -c 1000 <&7 >"$file"
kill -INT $export
cat <&7 >>"$file"
exec 7<&-
wait $export
is 'interrupted' 130 $?
ends 4 choir verify "$file" --key "$key"

# what is compacted is marked, too
ends 0 choir compact --at "$(choir log large | awk 'NR == 1 {print $1}')"
compacted() { choir export large --output "$file" 2>&1 | grep -q '[1-9] compacted'; }
until_true compacted && ok
proven 'compacted' 6

# who may see what
invitation=$(choir invite --role reader 2>/dev/null)
export CHOIR_CONFIG=$CHOIR_TMP/elsewhere
ends 0 choir --as reader join "$invitation"
ends 0 choir --as reader export plan --output "$file"
like 'a reader reads' '6 values' "$err"
proven 'of a reader' 8
invitation=$(CHOIR_CONFIG=$CHOIR_TMP/config choir --space red invite 2>/dev/null)
ends 0 choir --as writer join "$invitation"
ends 0 env CHOIR_CONFIG="$CHOIR_TMP/config" choir grant writer write
own=$(choir --as writer put plan written)
ends 0 choir --as writer export plan --output "$file"
like 'a writer shows his own, and no value' '1 entries.* 0 values, 1 left out' "$err"
proven 'of a writer' 1
ends 1 choir --as writer export --range "$first..$own" --output "$file"
like 'but no stretch with others in it' '^NOT_FOUND.*entry=.*needs tap or read' "$err"
ends 1 choir --as writer export "$first" --output "$file"
export CHOIR_CONFIG=$CHOIR_TMP/config

# only a file is replaced: a pipe, a device and a link stay what they are
mkfifo "$CHOIR_TMP/pipe"
choir export plan --output "$CHOIR_TMP/pipe" 2>"$CHOIR_TMP/err" &
export=$!
timeout 20 cat "$CHOIR_TMP/pipe" >"$file"
wait $export
is 'into a pipe' 0 $?
is 'which stays one' fifo "$(stat -c %F "$CHOIR_TMP/pipe")"
proven 'of a pipe' 9
ln -s "$file" "$CHOIR_TMP/link"
chmod 600 "$file"
ends 0 choir export "$last" --output "$CHOIR_TMP/link"
is 'the mode stays' 600 "$(stat -c %a "$file")"
: >"$file.new" # as a run that was killed leaves it
chmod 644 "$file.new"
ends 0 choir export "$last" --output "$file"
is 'whatever lay beside it' 600 "$(stat -c %a "$file")"
is 'a link stays one' 'symbolic link' "$(stat -c %F "$CHOIR_TMP/link")"
proven 'behind a link' 1
ln -s "$CHOIR_TMP/kept" "$CHOIR_TMP/x.new"
ends 1 choir export plan --output "$CHOIR_TMP/x"
is 'nor is a link beside it followed' '' "$(cd "$CHOIR_TMP" && compgen -G kept)"
rm "$CHOIR_TMP/x.new"

# wrong usage
ends 2 choir export plan --task 3 --output "$file"
ends 2 choir export plan other --output "$file"
ends 2 choir export --range 7..3 --output "$file"
ends 2 choir export --range 7 --output "$file"
ends 1 choir export plan --output "$CHOIR_TMP/no/such/dir"
ends 2 script -qec 'choir export plan' /dev/null
ends 1 choir export plan@5 --output "$file"
like 'a version is an entry' 'choir export 5' "$err"
ends 1 choir export doc/ --output "$file"
like 'no prefix is taken' 'one key.*all of the space' "$err"
ends 1 choir export nothing --output "$file"
is 'no more is said of other names' 1 "$(wc -l <<<"$err")"

# an export that was there stays until the new one is whole
before=$(cksum <"$file")
stop_broker
ends 3 choir --timeout 0.3 export plan --output "$file"
is 'the old one is still there' "$before" "$(cksum <"$file")"
is 'and no half one' '' "$(cd "$CHOIR_TMP" && compgen -G "*.new")"

all_proven

# a file that one may not read is not called something else
chmod 000 "$file"
chmod 711 "$CHOIR_TMP"
other=()
[ "$(id -u)" != 0 ] || other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
ends 2 "${other[@]}" choir verify "$file"
like 'no right to read it' 'Permission denied' "$err"
finish
