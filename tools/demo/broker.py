"""The broker as a process, and the demo's own connection to it."""
import json
import os
import signal
import subprocess
import threading
import time

from team import Trouble, alone


class Broker:
    def __init__(self, run):
        self.run, self.process = run, None
        self.data = os.path.join(run.demo, "data")
        self.log = os.path.join(run.demo, "log", "choird.txt")
        self.argv = ["choird", "--data", self.data, "--listen", run.url]

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.run.env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=alone)
        # It writes this when it is ready to be reached for the first time.
        until = time.monotonic() + 20
        while not os.path.exists(os.path.join(self.data, "local.invite")):
            if self.process.poll() is not None or time.monotonic() > until:
                raise Trouble("choird did not start: " + self.last_words())
            time.sleep(0.01)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM: it drains, seals the record and ends."""
        self.process.terminate()
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            raise Trouble("choird did not end within 15 s") from None
        if code:
            raise Trouble(f"choird ended with {code}: " + self.last_words())

    def end_at_once(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def last_words(self):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-3:]).strip() or "it said nothing"


class Connection:
    """`choir pipe`: requests go out, answers and events come in, whenever."""

    def __init__(self, run, name):
        self.log = open(os.path.join(run.demo, "log", name + ".txt"), "ab")
        self.process = subprocess.Popen(
            ["choir", "pipe"], env=dict(run.env, CHOIR_AS=name),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            text=True, encoding="utf-8", preexec_fn=alone)
        self.news = threading.Condition()
        self.answers, self.final, self.number = {}, {}, 0
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for row in self.process.stdout:
            said = json.loads(row)
            with self.news:
                if said.get("event") == "task_state":
                    if said["state"] in ("completed", "failed", "cancelled",
                                         "dead"):
                        self.final[said["task"]] = said
                elif "outcome" in said:
                    self.answers[said.get("id")] = said
                self.news.notify_all()

    def send(self, requests):
        numbers = []
        for request in requests:
            self.number += 1
            numbers.append(self.number)
            row = json.dumps(dict(request, id=self.number))
            self.process.stdin.write(row + "\n")
        self.process.stdin.flush()
        return numbers

    def ask(self, requests, timeout_s=20):
        """All at once; the answers in the order of the requests."""
        numbers = self.send(requests)
        with self.news:
            if not self.news.wait_for(
                    lambda: all(n in self.answers for n in numbers), timeout_s):
                raise Trouble("the broker did not answer "
                              + json.dumps(requests[0]))
            said = [self.answers.pop(n) for n in numbers]
        for request, answer in zip(requests, said):
            if answer["outcome"] not in ("OK", "NOT_FOUND"):
                raise Trouble(f"{request['op']}: "
                              + answer.get("explain", answer["outcome"]))
        return said

    def submit(self, queue, payloads, **options):
        """-> ids of the tasks, whose ends are then waited for."""
        said = self.ask([dict(options, op="submit", queue=queue, value=p)
                         for p in payloads])
        tasks = [s["revision"] for s in said]
        self.ask([{"op": "await", "task": t} for t in tasks])
        return tasks

    def keys(self):
        """Every key there is, as the items of list."""
        found, after = [], {}
        while True:
            said, = self.ask([dict(op="list", prefix="", count=500, **after)])
            found += said.get("items", [])
            if not said.get("after"):
                return found
            after = {"after": said["after"]}

    def agents(self):
        """-> {agent id: name}, the broker's public key"""
        said, = self.ask([{"op": "agent_list"}])
        items = said["items"]
        return ({a["agent"]: a.get("name", a["agent"][:8]) for a in items},
                next(a["public_key"] for a in items if a["name"] == "broker"))

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()
