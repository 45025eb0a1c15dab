#!/bin/bash
# Who is there, from the command line: presence, lag, labels, tasks in hand.
. tests/e2e/cli.bash
start_broker

row() { awk -v name="$1" '$1 == name' <<<"$out"; }
agent() { # NAME FIELD...
    choir agents --json | grep "\"name\":\"$1\"" | field "${@:2}"
}

# one agent that stays, with a model and a task in hand
mkfifo "$CHOIR_TMP/say"
CHOIR_LABELS=role=coder,model=opus choir --as ada pipe <"$CHOIR_TMP/say" >"$CHOIR_TMP/said" &
ada=$!
exec 3>"$CHOIR_TMP/say"
echo '{"id": 1, "op": "work", "queue": "jobs", "credit": 1}' >&3
task=$(choir submit jobs x)
until_true has "$CHOIR_TMP/said" '"event":"task"'
ends 0 choir agents
like 'a head' '^AGENT +STATE +MODEL +SESSIONS +BEHIND +LAG +HEARD +STALE +TASKS$' "$(head -n1 <<<"$out")"
like 'a line an agent' "^ada +here +opus role=coder +1 +[0-9]+ +[0-9.]+s +[0-9.]+s +0 +$task$" "$(row ada)"
like 'the asker is here, too' '^choir +here +- +' "$(row choir)"
like 'who was not heard of is shown so' '^broker +- +- +0 +- +- +- +0 +-$' "$(row broker)"
like 'in JSON by names' '^here .*"model":"opus"' "$(agent ada state labels)"
sessions=$(agent ada sessions)
is 'session by session' '1 here' "$(grep -o '"state":' <<<"$sessions" | wc -l) $(field state <<<"${sessions#[}")"
leases=$(agent ada leases)
is 'with its leases' "$task jobs" "$(field task queue <<<"${leases#[}")"
for _ in {1..30}; do choir put k v >/dev/null; done
like 'behind by what it has not seen' '^([3-9][0-9]|[0-9]{3,})$' "$(agent ada behind)"
ends 0 choir agents --here
is '--here leaves the others out' 0 "$(grep -c ' away ' <<<"$out")"

# top
ends 0 choir top --once --interval 100ms
like 'top has counters' '(^|'$'\n'')size +[0-9]+ ' "$out"
like 'and rates' 'entries +[0-9.]+/s' "$out"
like 'and who is here' "ada +here +opus" "$out"
is 'without touching the screen' 0 "$(grep -c $'\e' <<<"$out")"
ends 0 choir top --count 2 --interval 60ms --json
is 'top --json is an object a look' 2 "$(wc -l <<<"$out")"
first=${out%%$'\n'*}
like 'with status' '^[1-9]' "$(field status <<<"$first" | field size)"
like 'rates' '^[0-9]' "$(field rates <<<"$first" | field entries)"
like 'and agents' '[}],[{]' "$(field agents <<<"$first")"
ends 2 choir top --interval 1ms
like 'not too often' '--interval is at least 50ms' "$err"
script -qec "choir top --interval 60ms --count 2" /dev/null >"$CHOIR_TMP/screen" </dev/null
is 'on a terminal it refreshes' 2 "$(grep -c $'\e\[H\e\[2J' "$CHOIR_TMP/screen")"
choir top --interval 60ms --json >"$CHOIR_TMP/top" &
top=$!
until_true test -s "$CHOIR_TMP/top"
kill -INT $top
wait $top
is 'interrupted is 130' 130 $?

# away
exec 3>&-
wait $ada
like 'gone is away, and remembered' '^away .*"model":"opus"' "$(agent ada state labels)"
choir revoke ada >/dev/null
ends 0 choir agents
is 'the revoked are not shown' '' "$(row ada)"
ends 0 choir agents --all
like 'unless asked for' '^ada +revoked ' "$(row ada)"
finish
