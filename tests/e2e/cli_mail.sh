#!/bin/bash
# Messages between agents, from the command line.
. tests/e2e/cli.bash
start_broker

choir --as bob put hello x >/dev/null
ends 0 choir --as ada send bob 'first'
first=$out
like 'send prints the revision' '^[0-9]+$' "$first"
choir --as ada send bob second --kind request >/dev/null
stop_broker KILL
start_broker
ends 0 choir --as bob inbox --keep
is 'both wait, in order, across a crash' 'first second' "$(awk '{print $NF}' <<<"$out" | xargs)"
like 'with kind and sender' " request +ada +second" "$out"
ends 0 choir --as bob --json inbox --count 1
is '--json has the names of proto/' "$first message first" \
    "$(field revision kind value <<<"$out")"
ends 0 choir --as bob inbox
is 'what was acknowledged comes no more' 1 "$(wc -l <<<"$out")"
ends 0 choir --as bob inbox
is 'nor does the rest' '' "$out"

choir --as ada send topic:news one >/dev/null
choir --as bob inbox --topic news --follow --count 2 >"$CHOIR_TMP/followed" &
reader=$!
until_true has "$CHOIR_TMP/followed" one
choir --as ada send topic:news two >/dev/null
wait "$reader"
is 'a topic is followed' 'one two' "$(awk '{print $NF}' "$CHOIR_TMP/followed" | xargs)"
ends 0 choir --as bob inbox --topic news
is 'and goes on from where its reader was' '' "$out"
ends 0 choir --as carol inbox --topic news
is 'each reader for itself' 2 "$(wc -l <<<"$out")"

ends 1 choir --as ada send nobody hi
like 'an agent that is not there' '^NOT_FOUND' "$err"
ends 1 choir --as ada send bob hi --kind final
like 'an answer to nothing' '^INVALID' "$err"
finish
