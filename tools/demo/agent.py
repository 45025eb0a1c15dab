#!/usr/bin/env python3
"""An agent in Python: takes a document, finds its terms, and puts them into
the index that it shares with agents in other languages.

    agent.py choir      shares through Choir: `choir pipe`, one JSON a line
    agent.py DIR        shares two plain JSON files in DIR, as people do

run() is the agent, and the same for both; a store only says where the shared
state is. What it does is told on stdout: "took index FILE", "did index FILE".
"""
import json
import os
import subprocess
import sys
import time

import words

QUEUES = ("index", "xref")
THINK_S = int(os.environ.get("DEMO_THINK_MS", "80")) / 1000


def run(store):
    while task := store.take():
        queue, doc = task["queue"], task["doc"]
        say("took", queue, doc)
        with open(doc, "rb") as f:
            found = words.terms(f.read())
        keys = ["index/" + term for term in found]
        seen = store.read(keys)
        time.sleep(THINK_S)  # stands for the model, which takes longer
        while True:
            if queue == "index":
                result = {k: words.merge(seen[k], doc, at)
                          for k, at in zip(keys, found.values())}
            else:
                result = {"xref/" + doc: words.related(
                    doc, {k[6:]: seen[k] for k in keys})}
            stale = store.finish(task, result)
            if not stale:
                break
            say("again", queue, doc)
            seen.update(store.read(stale))


def say(*what):
    print(*what, flush=True)


class Files:
    """The shared state as two JSON files: who does what, and the result. Each
    change reads the file, thinks, and writes it back, by rename so that nobody
    ever reads half a file."""

    def __init__(self, folder):
        self.todo = os.path.join(folder, "todo.json")
        self.notes = os.path.join(folder, "notes.json")

    def take(self):
        while True:
            todo = load(self.todo)
            for queue in QUEUES:
                for doc, state in todo[queue].items():
                    if state == "todo":
                        todo[queue][doc] = "taken"
                        save(self.todo, todo)
                        return {"queue": queue, "doc": doc}
            if todo["closed"]:
                return None
            time.sleep(0.02)

    def read(self, keys):
        self.seen = load(self.notes)
        return {k: self.seen.get(k) for k in keys}

    def finish(self, task, result):
        self.seen.update(result)
        save(self.notes, self.seen)
        todo = load(self.todo)
        todo[task["queue"]][task["doc"]] = "done"
        save(self.todo, todo)
        say("did", task["queue"], task["doc"])
        return []


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def save(path, value):
    mine = "%s.%d" % (path, os.getpid())
    with open(mine, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
    os.replace(mine, path)


class Choir:
    """The shared state in Choir. A result and the end of its task are one
    transaction, and it holds only if what it was made from still stands."""

    def __init__(self):
        self.pipe = subprocess.Popen(["choir", "pipe"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True,
                                     encoding="utf-8")
        self.number, self.tasks, self.revision = 0, [], {}
        for queue in QUEUES:
            self.ask(op="work", queue=queue, credit=1)

    def send(self, **request):
        self.number += 1
        request["id"] = self.number
        self.pipe.stdin.write(json.dumps(request) + "\n")
        self.pipe.stdin.flush()
        return self.number

    def hear(self):
        """The next answer; a task that comes along is kept for take()."""
        line = self.pipe.stdout.readline()
        if not line:
            sys.exit(0 if self.pipe.wait() == 0 else "choir pipe ended")
        said = json.loads(line)
        if said.get("event") == "task":
            self.tasks.append(said)
        return said

    def ask(self, **request):
        number = self.send(**request)
        while True:
            said = self.hear()
            if said.get("id") == number and "outcome" in said:
                return said

    def take(self):
        while not self.tasks:
            self.hear()
        task = self.tasks.pop(0)
        return dict(task, doc=task["value"])

    def read(self, keys):
        asked = {self.send(op="get", key=key): key for key in keys}
        found = {}
        while len(found) < len(keys):
            said = self.hear()
            key = asked.get(said.get("id"))
            if key and "outcome" in said:
                found[key] = said.get("value")
                self.revision[key] = said.get("revision", 0)
        self.rests_on = keys
        return found

    def finish(self, task, result):
        said = self.ask(
            op="complete", task=task["task"], token=task["token"],
            compares=[{"key": k, "revision": self.revision[k]}
                      for k in self.rests_on],
            writes=[{"key": k, "value": v} for k, v in result.items()])
        if said["outcome"] == "CONFLICT":
            return self.rests_on
        say("did" if said["outcome"] == "OK" else said["outcome"],
            task["queue"], task["doc"])
        return []


if __name__ == "__main__":
    run(Choir() if sys.argv[1] == "choir" else Files(sys.argv[1]))
