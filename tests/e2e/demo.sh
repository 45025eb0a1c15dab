#!/bin/bash
# The demo, on a few documents: what it promises, the commands it suggests,
# pasted, and that it cleans up however it ends.
# test-timeout: 90
# shellcheck source=tests/support/demo.sh
. tests/support/demo.sh

documents
demo DEMO_DOCUMENTS=24
promised
is 'what is no text is left out, and counted' says '^Files left out: 2[.]'
is 'the flipped entry is named' says 'revision [0-9]+'

# ---- what it suggests works as pasted ---------------------------------------

suggested=$(sed -n '/^5\. Try next/,$p' "$said" |
    sed -nE 's/^    ([^ ]*(with|choir) .*)$/\1/p')
is 'three or four commands are suggested' \
    [ "$(printf '%s\n' "$suggested" | wc -l)" -ge 3 ]
while IFS= read -r command; do
    bash -c "$command" >"$said.pasted" 2>&1 </dev/null
    rc=$?
    is "this works as pasted: $command" [ $rc -eq 0 ]
    is "it says something: $command" [ -s "$said.pasted" ]
    [ $rc -eq 0 ] || cat "$said.pasted"
done <<<"$suggested"
is 'no process is left by what was pasted' left_none

# What an agent said is heard late on a busy machine, when it was killed already.
heard_late()
{
    python3 - "$CHOIR_TMP" <<'X'
import sys
sys.path.insert(0, "tools/demo")
from team import Process, Team
team = Team(sys.argv[1], sys.argv[1])
agent = Process(team, "late", [], {})
agent.expected = True
for text in ("took index a", None):
    team.events.put((agent, text))
    team.next(1)
sys.exit(agent.holds is not None)
X
}
is 'who was killed holds nothing, however late it is heard' heard_late

# It was done before the kill arrived: another one is killed, and told of. What
# is known to be done is not killed for it.
killed_too_late()
{
    python3 - "$CHOIR_TMP" <<'X'
import contextlib, io, sys, time
sys.path.insert(0, "tools/demo")
from team import Killing, Team
team = Team(sys.argv[1], sys.argv[1])
quick = team.add("quick", ["sh", "-c", "echo took index a; echo did index a; sleep 60"], {})
killing = Killing(team, 1)
first = quick.process
said = team.next(10)
while team.events.empty():
    time.sleep(0.01)
with contextlib.redirect_stdout(io.StringIO()) as told:
    killing.follow(said)
    spared = killing.victim is None
    killing.said_more = lambda member: False  # it says so a moment later
    killing.follow(said)
    while killing.back_at:
        killing.follow(None)
again = quick.process is not first
team.kill_all()
sys.exit(not spared or not again or killing.job is not None or told.getvalue() != "")
X
}
is 'a kill that came too late is not told of, nor that it is started again' killed_too_late

# ---- trouble ------------------------------------------------------------------

demo DOCS="$CHOIR_TMP/nowhere"
is 'a folder that is not there is refused' [ $code -eq 1 ]
is 'and named' says 'nowhere: there is no such folder'

mkdir "$CHOIR_TMP/docs/mine"
demo CHOIR_DEMO_DIR="$CHOIR_TMP/docs"
is 'a folder that is not of a demo is not cleared' [ $code -eq 1 ]
is 'and is still there' [ -d "$CHOIR_TMP/docs/mine" ]

DEMO_DOCUMENTS=24 tools/demo/run >"$said" 2>&1 &
pid=$!
for _ in $(seq 200); do
    says ' is started again' && break
    sleep 0.05
done
kill -INT $pid
wait $pid
code=$?
is 'interrupted, it says so with 130' [ $code -eq 130 ]
is 'and leaves no process' left_none
ending
