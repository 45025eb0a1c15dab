"""The second half: the same agents share through Choir."""
import os
import re
import time

import look
from broker import Broker, Connection
from team import Killing, Team, Trouble, agents

LEASE_MS = 2000  # a lost agent's task is given to another after so long
EXCERPT = 12  # lines of the tap


def tap_row(text):
    """A line of choir tap without its time, in columns."""
    cells = re.split("  +", text.strip())
    if len(cells) < 7:
        return look.cut("    " + text, look.WIDTH)
    revision, who, verb = cells[1], cells[3], cells[4]
    what, outcome = " ".join(cells[5:-2]), cells[-1]
    room = look.WIDTH - 46
    return "    %6s  %-9s %-12s %-*s %s" % (
        revision, look.cut(who, 9), verb, room, look.cut(what, room), outcome)


class Together:
    def __init__(self, run):
        self.run = run
        self.team = Team(run.folder, os.path.join(run.demo, "log", "choir"))
        self.broker = Broker(run)
        self.editor, self.tasks = None, []
        self.excerpt, self.conflict = EXCERPT, False
        self.broker_fell = False

    def open(self):
        self.broker.start()
        self.team.add("tap", ["choir", "tap", "--since", "0"],
                      dict(self.run.env, CHOIR_AS="observer"))
        self.editor = Connection(self.run, "editor")

    def work(self):
        """-> (what the context holds at the end, figures)"""
        team, docs = self.team, self.run.docs
        team.began = time.monotonic()
        for queue in ("index", "digest"):
            self.submit(queue)
        for name, _, argv in agents(self.run.build, "choir"):
            team.add(name, argv, dict(self.run.env, CHOIR_AS=name))
        self.killing = Killing(team, len(docs))
        self.until_final()
        self.submit("xref")
        self.until_final()
        if not self.broker_fell:
            self.kill_broker()
        seconds = team.seconds()
        self.dismiss()
        return self.read(), self.figures(seconds)

    def submit(self, queue):
        self.tasks += self.editor.submit(queue, self.run.docs,
                                         lease_ms=LEASE_MS, backoff_ms=100)

    def until_final(self):
        team, docs = self.team, self.run.docs
        while any(t not in self.editor.final for t in self.tasks):
            said = team.next(0.02)
            if said and said[0].name == "tap":
                self.show_tap(said[1])
                said = None
            self.killing.follow(said)
            if not self.broker_fell \
                    and team.did("index") >= (len(docs) * 2 + 2) // 3:
                self.kill_broker()
            if self.editor.process.poll() is not None:
                raise Trouble("choir pipe of the editor ended")
            if team.seconds() > self.run.limit_s:
                raise Trouble("tasks did not come to an end: " + ", ".join(
                    str(t) for t in self.tasks if t not in self.editor.final))

    def show_tap(self, text):
        if "  expire  " in text:
            look.event(self.team.seconds(), "the tap shows that the lease of "
                       "the lost agent has ended:")
            look.line(tap_row(text))
        elif text.endswith("  CONFLICT") and not (
                self.excerpt or self.conflict):
            self.conflict = True
            look.event(self.team.seconds(), "an agent comes too late with what "
                       "it had read; it reads again:")
            look.line(tap_row(text))
        elif self.excerpt > 0 and text.startswith("ok") \
                and self.team.did("index") > 0:
            self.excerpt -= 1
            look.line(tap_row(text))
            if self.excerpt == 0:
                look.quiet("... and so on; all of it stays in the record")

    def kill_broker(self):
        self.broker_fell = True
        look.event(self.team.seconds(), "kill -9 choird, the broker itself")
        fell = time.monotonic()
        self.broker.kill()
        self.broker.start()
        said, = self.editor.ask([{"op": "ping"}])
        look.event(self.team.seconds(),
                   "choird is back after %.2f s, with everything up to "
                   "revision %d" % (time.monotonic() - fell, said["seen"]))

    def dismiss(self):
        for member in self.team.members.values():
            if member.name != "tap":
                member.end()
        while not self.team.events.empty():
            self.team.next(0)

    def read(self):
        self.items = self.editor.keys()
        keys = [i["key"] for i in self.items]
        said = self.editor.ask([{"op": "get", "key": k} for k in keys])
        self.versions = dict(zip(keys, self.editor.ask(
            [{"op": "log", "key": k} for k in keys])))
        self.names, self.broker_key = self.editor.agents()
        return {k: s.get("value") for k, s in zip(keys, said)}

    def written(self):
        """-> {agent's name: {first part of the key: versions written}}"""
        by = {}
        for key, said in self.versions.items():
            for version in said["items"]:
                name = self.names.get(version["agent"], "?")
                kind = key.split("/")[0]
                by.setdefault(name, {}).setdefault(kind, 0)
                by[name][kind] += 1
        return by

    def figures(self, seconds):
        final = [self.editor.final[t] for t in self.tasks]
        done = self.team.done
        failed = [f for f in final if f["state"] in ("failed", "dead")]
        self.reasons = [f.get("reason", f["state"]) for f in failed]
        return {"never": sum(f["state"] != "completed" for f in final)
                - len(failed), "twice": len(done) - len(set(done)),
                "seconds": seconds, "failed": len(failed)}

    def close(self):
        self.team.members["tap"].end()
        self.editor.end()
        self.broker.stop()

    def end_at_once(self):
        self.team.kill_all()
        if self.editor and self.editor.process.poll() is None:
            self.editor.process.kill()
        self.broker.end_at_once()
