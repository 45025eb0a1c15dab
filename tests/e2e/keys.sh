#!/bin/bash
# An agent stays who it is while its keys come and go, and every record of it
# verifies: by choir verify, by choird, and by the second reader.
. tests/e2e/cli.bash
start_broker

choir --as ada put k one >/dev/null
like 'one key at first' '^[0-9a-f]{64}  from [0-9]+$' "$(choir --as ada key ls)"
ends 0 choir --as ada key rotate
like 'rotate says where the identity is' '/ada@[0-9a-f]+\.identity$' "$out"
ends 0 choir --as ada put k two
ends 0 choir --as ada key ls
is 'two keys, one ended' 1 "$(grep -c until <<<"$out")"
is 'it is the same agent' 1 "$(choir log k --json | grep -o '"agent":"[0-9a-f]*"' | sort -u | wc -l)"

# a second machine
ends 0 choir --as ada key add "$CHOIR_TMP/second.identity"
ends 0 choir --identity "$CHOIR_TMP/second.identity" put k three
is 'still the same agent' 1 "$(choir log k --json | grep -o '"agent":"[0-9a-f]*"' | sort -u | wc -l)"
ends 1 choir --as ada key add "$CHOIR_TMP/second.identity"
second=$(choir --as ada key ls | tail -n1 | cut -d' ' -f1)
ends 0 choir --as ada key revoke "$second"
ends 1 choir --identity "$CHOIR_TMP/second.identity" put k four
like 'a lost machine is out' '^UNKNOWN_AGENT' "$err"
ends 0 choir --as ada put k five
ends 1 choir --as bob revoke ada --key "$second"

# a rotation that was cut off: the broker knows the new key, the file the old
old=$(ls "$CHOIR_CONFIG"/ada@*.identity)
cp "$old" "$CHOIR_TMP/before"
ends 0 choir --as ada key rotate
cp "$old" "$CHOIR_TMP/after"
cp "$CHOIR_TMP/before" "$old"
cp "$CHOIR_TMP/after" "$old.next"
ends 0 choir --as ada put k six
is 'the new key took its place' yes "$(cmp -s "$old" "$CHOIR_TMP/after" && echo yes)"
rm -f "$old.next"

# lost and stolen
ends 0 choir --as ada key recovery "$CHOIR_TMP/away.identity"
cp "$old" "$CHOIR_TMP/stolen.identity"
ends 0 choir --identity "$CHOIR_TMP/stolen.identity" key rotate
ends 0 choir --identity "$CHOIR_TMP/stolen.identity" put k stolen
ends 1 choir --as ada put k mine
since=$(choir log k | head -n1 | awk '{print $1}')
invitation=$(choir invite 2>/dev/null)
ends 0 choir --as ada key recover "$CHOIR_TMP/away.identity" "$invitation"
ends 0 choir --as ada put k mine
ends 1 choir --identity "$CHOIR_TMP/stolen.identity" put k again
like 'the thief is out' '^UNKNOWN_AGENT' "$err"
invitation=$(choir invite 2>/dev/null)
ends 1 choir --as ada key recover "$CHOIR_TMP/after" "$invitation"
ends 0 choir suspect ada "$since" --reason 'a laptop was stolen'
like 'doubt is shown' "suspect since $since" "$(choir --as ada key ls)"
ends 1 choir --as bob suspect ada 1

# the tap verifies them all from the beginning
ends 0 choir tap --since 0 --count "$(choir status | awk '$1 == "durable" {print $2 - 3}')"
is 'every line is verified' ok "$(awk '{print $1}' <<<"$out" | sort -u)"

# and again after a crash, from the record and from a snapshot
stop_broker KILL
start_broker
ends 0 choir --as ada put k seven
stop_broker
start_broker
ends 0 choir --as ada put k eight
stop_broker
ends 0 choir verify "$CHOIR_DATA" --key "$CHOIR_DATA/admin.identity"
ends 0 choird --verify --data "$CHOIR_DATA"
key=$(choir verify --json "$CHOIR_DATA" | field broker_key)
ends 0 node tests/reader/verify.mjs "$CHOIR_DATA" --key "$key"
finish
