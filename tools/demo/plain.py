"""The first half: the agents share two plain JSON files, without Choir."""
import json
import os
import time

import agent
from team import Killing, Team, Trouble, agents


class Plain:
    def __init__(self, run):
        self.run = run
        self.folder = os.path.join(run.demo, "plain")
        os.makedirs(self.folder)
        self.todo = os.path.join(self.folder, "todo.json")
        self.notes = os.path.join(self.folder, "notes.json")
        self.queues = {"index": run.docs, "digest": run.docs}
        agent.save(self.notes, {})
        agent.save(self.todo, dict(
            {q: dict.fromkeys(d, "todo") for q, d in self.queues.items()},
            xref={}, closed=False))
        self.team = Team(
            run.folder, os.path.join(run.demo, "log", "plain"))

    def work(self):
        """-> (what the notes hold at the end, figures)"""
        team = self.team
        for name, _, argv in agents(self.run.build, self.folder):
            team.add(name, argv, self.run.env)
        killing = Killing(team, len(self.run.docs))
        self.until_idle(killing)
        self.change_todo(xref=dict.fromkeys(self.run.docs, "todo"))
        self.queues["xref"] = self.run.docs
        self.until_idle(killing)
        self.change_todo(closed=True)
        for member in team.members.values():
            member.expected = True
        for member in team.members.values():
            member.process.wait(timeout=10)
        while not team.events.empty():
            team.next(0)
        return self.figures()

    def until_idle(self, killing):
        """Until nobody has anything to do, and is believed to."""
        team, still = self.team, None
        while still is None or time.monotonic() - still < 0.3:
            said = team.next(0.02)
            killing.follow(said)
            if team.seconds() > self.run.limit_s:
                raise Trouble("the agents did not come to an end")
            busy = said or killing.back_at or self.left() or any(
                m.holds for m in team.members.values())
            still = None if busy else still or time.monotonic()

    def left(self):
        return any("todo" in agent.load(self.todo)[q].values()
                   for q in self.queues)

    def change_todo(self, **what):
        agent.save(self.todo, dict(agent.load(self.todo), **what))

    def end_at_once(self):
        self.team.kill_all()

    def figures(self):
        done = self.team.done
        with open(self.notes, encoding="utf-8") as f:
            notes = json.load(f)
        never = sum((q, d) not in done and (q, d) not in self.team.failed
                    for q, docs in self.queues.items() for d in docs)
        return notes, {"never": never, "twice": len(done) - len(set(done)),
                       "seconds": self.team.seconds(),
                       "failed": len(self.team.failed)}
