#!/bin/bash
# choir pipe: the agent of docs/pipe.md as it stands there, and every kind of
# line that may come.
. tests/e2e/cli.bash
start_broker

# the documented agent, out of the document
sed -n '/^```python agent$/,/^```$/p' docs/pipe.md | sed '1d;$d' >"$CHOIR_TMP/agent.py"
[ "$(grep -c . "$CHOIR_TMP/agent.py")" -le 20 ] && ok || bad 'it has at most 20 lines'
python3 -u "$CHOIR_TMP/agent.py" >"$CHOIR_TMP/agent.out" 2>&1 &
agent=$!
task=$(choir submit words 'one two three')
until_true has "$CHOIR_TMP/agent.out" "completed $task at revision"
is 'the result' 3 "$(choir task show "$task" --json | field result)"
is 'and its write came together' "$(choir task show "$task" --json | field revision)" "$(choir get "count/$task" --json | field revision)"
ends 0 choir submit words 'four five' --wait
is 'one after the other' 2 "$out"
stop_broker KILL
start_broker
ends 0 choir submit words 'after a restart' --wait
is 'the agent does not notice a restart' 3 "$out"
kill $agent
wait $agent 2>/dev/null

cat >"$CHOIR_TMP/pipe.py" <<'PY'
import json, subprocess, sys

class Pipe:
    def __init__(self, *options):
        self.p = subprocess.Popen(["choir", *options, "pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    def raw(self, line):
        self.p.stdin.write(line)
        self.p.stdin.flush()
    def hear(self):
        line = self.p.stdout.readline()
        return json.loads(line) if line else None
    def ask(self, **request):
        self.raw(json.dumps(request).encode() + b"\n")
        return self.hear()
    def end(self):
        self.p.stdin.close()
        rest = [json.loads(line) for line in self.p.stdout]
        return self.p.wait(), rest

passed = failed = 0
def is_(what, wanted, got):
    global passed, failed
    if wanted == got: passed += 1
    else: failed += 1; print(f"FAILED: {what}\n  wanted: {wanted!r}\n  got:    {got!r}")

p = Pipe()
said = p.ask(id=1, op="put", key="a", value="x")
is_("an answer", {"outcome": "OK", "revision": said["revision"], "id": 1}, said)
is_("an id may be anything", {"n": [1]}, p.ask(id={"n": [1]}, op="ping")["id"])
is_("or nothing", None, p.ask(op="ping").get("id"))
deep = {"n": 9007199254740991, "f": 1.5, "l": [True, None, "\u00e9"], "m": {"x": -1}}
p.ask(op="put", key="j", value_json=deep)
said = p.ask(op="get", key="j")
is_("JSON comes back", (deep, "application/msgpack"), (said["value_json"], said["type"]))
p.ask(op="put", key="b", value_base64="AP8=")
is_("and bytes", "AP8=", p.ask(op="get", key="b")["value_base64"])
p.ask(op="put", key="nul", value="a\0b")
is_("and NUL", "YQBi", p.ask(op="get", key="nul")["value_base64"])
nested = 1
for _ in range(20): nested = [nested]
is_("too deep", "INVALID", p.ask(op="put", key="d", value_json=nested)["outcome"])
said = p.ask(id=2, op="put", key="a", value="y", if_revision=0)
is_("a refusal", ("CONFLICT", "a"), (said["outcome"], said["effect"]["key"]))

for line, outcome in [
    (b"garbage\n", "MALFORMED"), (b"[1]\n", "MALFORMED"), (b'{"op":"put"\n', "MALFORMED"),
    (b'{"op":"ping","op":"ping"}\n', "MALFORMED"), (b'{"op":"ping","x":"\xff"}\n', "MALFORMED"),
    (b"{}\n", "INVALID"), (b'{"op":7}\n', "INVALID"), (b'{"op":"frob"}\n', "UNSUPPORTED"),
    (b'{"op":"session_open"}\n', "UNSUPPORTED"), (b'{"op":"claim","task":1}\n', "UNSUPPORTED"),
    (b'{"op":"put","key":"a","value":"x","colour":1}\n', "UNSUPPORTED"),
    (b'{"op":"put","key":"a","value":"x","value_json":1}\n', "INVALID"),
    (b'{"op":"put","key":"a","value_base64":"!"}\n', "INVALID"),
    (b'{"op":"put","key":"a\\u0000b","value":"x"}\n', "INVALID"),
    (b'{"op":"put","key":7,"value":"x"}\n', "INVALID"),
    (b'{"op":"put","key":{},"value":"x"}\n', "INVALID"),
    (b'{"op":"put","key":"a","value":"x","if_revision":-1}\n', "INVALID"),
    (b'{"op":"put","key":"a","value":"x","if_revision":9007199254740992}\n', "OVER_LIMIT"),
    (b'{"op":"put","key":"a","value":"x","if_revision":99999999999999999999}\n', "MALFORMED"),
    (b'{"op":"put","key":"' + b"k" * 513 + b'","value":"x"}\n', "OVER_LIMIT"),
    (b'{"op":"txn","writes":[1]}\n', "INVALID"), (b'{"op":"txn","writes":"x"}\n', "INVALID"),
    (b'{"op":"put","value":"x"}\n', "INVALID"),
    (b'{"op":"unwatch","watch":"none"}\n', "NOT_FOUND"),
    (b'{"op":"complete","task":999999,"token":1}\n', "FENCED"),
    (b" " * 30000000 + b"\n", "TOO_LARGE"),
]:
    p.raw(line)
    is_(line[:70], outcome, p.hear()["outcome"])
p.raw(b"\n  \r\n")
is_("empty lines say nothing", "OK", p.ask(op="ping")["outcome"])

# a watch, and its end
said = p.ask(id="w", op="watch", prefix="watched/", revision=1)
while said.get("event") != "caught_up": said = p.hear()
is_("a watch catches up", "w", said["id"])
p.raw(b'{"id":3,"op":"put","key":"watched/1","value":"v"}\n')
both = [p.hear(), p.hear()]
change = [s for s in both if s.get("event") == "change"][0]
is_("a change", ("w", [{"key": "watched/1", "value": "v", "kind": "put"}]), (change["id"], change["items"]))
is_("unwatch", "OK", p.ask(op="unwatch", watch="w")["outcome"])
is_("nothing comes any more", 4, p.ask(id=4, op="put", key="watched/2", value="v")["id"])

# a task that is not ended goes back at once
task = p.ask(op="submit", queue="pipe", value="x")["revision"]
said = p.ask(id="t", op="work", queue="pipe")
while said.get("event") != "task": said = p.hear()
is_("a task", (task, "x", 1), (said["task"], said["value"], said["attempt"]))
is_("progress", "OK", p.ask(op="progress", task=task, token=said["token"], value="half")["outcome"])
p.raw(b'{"id":9,"op":"ping"}')  # the last line may lack its newline
code, rest = p.end()
is_("it ends with 0", 0, code)
is_("having answered all", [9], [s["id"] for s in rest])
q = Pipe("--as", "other")
item = q.ask(op="task_get", task=task)["items"][0]
is_("the task is given back", ("queued", "half"), (item["state"], item["progress"]))

# credit renews itself
tasks = [q.ask(op="submit", queue="many", value=str(i))["revision"] for i in range(5)]
q.raw(b'{"op":"work","queue":"many","credit":2}\n')
done = []
while len(done) < 5:
    said = q.hear()
    if said.get("event") == "task":
        q.raw(json.dumps({"id": said["task"], "op": "complete", "task": said["task"], "token": said["token"], "value": "r"}).encode() + b"\n")
    elif said.get("id") in tasks:
        done.append(said["id"])
is_("each task once", tasks, sorted(done))

# thousands without waiting
q.raw(b"".join(b'{"id":%d,"op":"put","key":"flood/%d","value":"%d"}\n' % (i, i % 7, i) for i in range(3000)))
code, rest = q.end()
is_("all are answered, in order", (0, list(range(3000))), (code, [s["id"] for s in rest if "event" not in s]))
print(f"{passed} {failed}")
PY
python3 "$CHOIR_TMP/pipe.py" >"$CHOIR_TMP/pipe.out" 2>&1
grep -v -E '^[0-9]+ [0-9]+$' "$CHOIR_TMP/pipe.out"
read -r p f < <(tail -n1 "$CHOIR_TMP/pipe.out")
if [[ $p =~ ^[0-9]+$ ]]; then
    passed=$((passed + p)) failed=$((failed + f))
else
    bad 'the script ends'
fi

# When the broker goes away, neither a pipe at the end of its input nor one
# whose reader has ended waits for ever.
mkfifo "$CHOIR_TMP/in" "$CHOIR_TMP/answers"
away() { # option...: a put that comes when the broker is gone, and no more
    (exec timeout 20 choir pipe "$@" <"$CHOIR_TMP/in" >"$CHOIR_TMP/answers") &
    pipe=$!
    exec 5>"$CHOIR_TMP/in" 6<"$CHOIR_TMP/answers"
    echo '{"op":"ping"}' >&5
    read -r _ <&6
    stop_broker KILL
    echo '{"op":"put","key":"a","value":"late"}' >&5
}
away --timeout 500ms 2>"$CHOIR_TMP/err"
exec 5>&-
wait $pipe
is 'the broker is away, the input at its end' 3 $?
exec 6<&-
like 'and it says so' '^UNREACHABLE' "$(<"$CHOIR_TMP/err")"
start_broker
away
exec 6<&- 5>&-
wait $pipe
is 'nobody is left to read' 0 $?
finish
