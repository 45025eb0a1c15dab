#!/bin/bash
# docs/tutorial-in-step.md, command by command, as a reader would type it.
. tests/e2e/cli.bash
here=$PWD
awk '/^```sh$/ {on = 1; next} /^```$/ {on = 0} on' docs/tutorial-in-step.md >"$CHOIR_TMP/commands"
is 'the tutorial has commands' yes "$([ "$(wc -l <"$CHOIR_TMP/commands")" -gt 30 ] && echo yes)"
mkdir "$CHOIR_TMP/mine"
cd "$CHOIR_TMP/mine" || exit 1
# shellcheck source=/dev/null
(set -e; . "$CHOIR_TMP/commands") >"$CHOIR_TMP/said" 2>"$CHOIR_TMP/complained"
is 'every command succeeds' 0 $?
said=$(<"$CHOIR_TMP/said")
is 'nothing complains' 'carl works from: Greet the user in Italian.' "$(grep -v '^task .* completed$' "$CHOIR_TMP/complained")"
like 'bob begins with the first plan' 'bob works from: Greet the user in English' "$said"
like 'bob is told which key moved, and by whom' '[0-9]+ -> [0-9]+ +plan  ada' "$said"
like 'bob goes on with the second' 'bob works from: Greet the user in French' "$said"
like 'bob finishes' 'task [0-9]+ completed' "$said"
like 'carl is refused' 'stale: STALE .*key=plan' "$said"
is 'both tasks are completed in the end' 2 "$(grep ' completed .* code ' "$CHOIR_TMP/said" | awk '{print $1}' | sort -u | wc -l)"
like 'bob was not here before' 'You were not here before' "$said"
like 'then he is shown what changed' "Since you were here.* 2 keys changed" "$said"
like 'by whom, and how' 'plan: changed by ada' "$said"
like 'line by line' '[+]Greet the user in Latin' "$said"
cd "$here" || exit 1

# The results are in the record, whoever looks at it later.
export CHOIR_DATA=$CHOIR_TMP/mine/data CHOIR_CONFIG=$CHOIR_TMP/mine/config
start_broker
results=$(choir task ls --json | while read -r line; do
    t=$(field task <<<"$line")
    choir task show "$t" --json | field result
done | sort)
is 'one was made from the French plan, one from the Italian' \
    'print: Greet the user in French. print: Greet the user in Italian.' \
    "$(tr -s '\n' ' ' <<<"$results" | sed 's/^ //; s/ $//')"
finish
