"""The agents as processes: started, heard, killed, ended. Each has a process
group of its own, so that nothing it started outlives it."""
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import look

HERE = os.path.dirname(os.path.abspath(__file__))
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def alone():
    """In a new process: a group of its own, never without the demo, and after it:
    what they say is to be heard before they go on."""
    os.setpgrp()
    os.nice(10)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Trouble(Exception):
    """A step went wrong; the text says which and why."""


class Process:
    """One process; its lines on stdout become events (process, words)."""

    def __init__(self, team, name, argv, env):
        self.team, self.name, self.argv, self.env = team, name, argv, env
        self.holds = None  # (queue, document) it works on, as it says
        self.expected = False  # to end
        self.process = None

    def start(self):
        self.expected = False
        with open(os.path.join(self.team.log, self.name + ".txt"), "ab") as e:
            self.process = subprocess.Popen(
                self.argv, env=self.env, cwd=self.team.folder,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=e,
                preexec_fn=alone)
        threading.Thread(target=self.listen, args=[self.process],
                         daemon=True).start()

    def listen(self, process):
        for row in process.stdout:
            text = row.decode(errors="replace").rstrip("\n")
            self.team.events.put((self, text))
        process.wait()
        self.team.events.put((self, None))

    def signal(self, number):
        """To the whole group: the agent and its connection."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        self.expected, self.holds = True, None
        self.signal(signal.SIGKILL)
        self.process.wait()

    def end(self, timeout_s=10):
        """SIGTERM to the process, SIGKILL to what is left of its group."""
        self.expected = True
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Trouble(f"{self.name} did not end in {timeout_s} s") from None
        finally:
            self.signal(signal.SIGKILL)

    def last_words(self):
        try:
            with open(os.path.join(self.team.log, self.name + ".txt"),
                      errors="replace") as f:
                return "".join(f.readlines()[-3:]).strip()
        except OSError:
            return ""


class Team:
    def __init__(self, folder, log):
        self.folder, self.log = folder, log
        os.makedirs(log, exist_ok=True)
        self.events = queue.Queue()
        self.members = {}
        self.done = []  # (queue, document) as the agents say, in order
        self.again = 0  # a result was made once more from what is there now
        self.failed = []
        self.began = time.monotonic()

    def add(self, name, argv, env, start=True):
        self.members[name] = Process(self, name, argv, env)
        if start:
            self.members[name].start()
        return self.members[name]

    def seconds(self):
        return time.monotonic() - self.began

    def next(self, timeout_s):
        """The next thing a member says: (member, text), or None."""
        try:
            member, text = self.events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if text is None:
            # What it said before it was killed may be heard after that.
            member.holds = None
            # What it left behind, its connection for instance, ends with it.
            if not member.expected and member.process.poll() is not None:
                raise Trouble(
                    f"{member.name} ended with {member.process.returncode}: "
                    + (member.last_words() or "it said nothing"))
            return None
        self.note(member, text)
        return member, text

    def note(self, member, text):
        what, _, rest = text.partition(" ")
        job = tuple(rest.split(" ", 1))
        if what == "took":
            member.holds = job
        elif what in ("did", "failed", "FENCED"):
            member.holds = None
            (self.done if what == "did" else self.failed).append(job)
        elif what == "again":
            self.again += 1

    def did(self, which):
        return sum(job[0] == which for job in self.done)

    def kill_all(self):
        for member in self.members.values():
            member.expected = True
            if member.process:
                member.signal(signal.SIGKILL)
                member.process.wait()


def agents(build, where):
    """-> [(name, language, argv)]: the same in both halves."""
    shell = [sys.executable, os.path.join(HERE, "files_loop.py"), where,
             os.path.join(HERE, "digest.sh")]
    if where == "choir":
        shell = ["choir", "work", "digest", "--exec",
                 os.path.join(HERE, "digest_put.sh")]
    python = [sys.executable, os.path.join(HERE, "agent.py"), where]
    node = ["node", os.path.join(HERE, "agent.mjs"), where]
    c = [os.path.join(build, "demo-agent"), where]
    return [("python-1", "Python", python), ("python-2", "Python", python),
            ("node-1", "JavaScript", node), ("c-1", "C", c),
            ("shell-1", "sh and awk", shell), ("shell-2", "sh and awk", shell)]


class Killing:
    """kill -9 of one agent in the middle of a document. It counts only if the
    agent had begun that document and never said it was done."""

    def __init__(self, team, documents):
        self.team = team
        self.after = documents // 3 if documents >= 6 else 0
        self.victim, self.job, self.back_at = None, None, None

    def look(self, member, text):
        """Given each thing said; True when it has just killed."""
        if self.job or self.back_at or not text.startswith("took index ") \
                or self.team.did("index") < self.after \
                or self.said_more(member):
            return False
        job, self.victim = member.holds, member
        member.kill()
        self.back_at = self.team.seconds()
        if not self.finished(job):
            self.job = job
            self.back_at += 0.5
        return self.job is not None

    def said_more(self, member):
        """Is it past that document, though that is not heard yet?"""
        with self.team.events.mutex:
            return any(who is member for who, _ in self.team.events.queue)

    def finished(self, job):
        """Did it finish after all, before the kill arrived?"""
        later = []
        while not later or later[-1] != (self.victim, None):
            later.append(self.team.events.get(timeout=10))
        done = (self.victim, "did index " + job[1]) in later
        for one in later:
            self.team.events.put(one)
        return done

    def bring_back(self):
        """True when the victim has just come back."""
        if self.back_at is None or self.team.seconds() < self.back_at:
            return False
        self.back_at = None
        self.victim.start()
        return True

    def follow(self, said):
        """Look, bring back, and tell of it."""
        team = self.team
        if said and self.look(*said):
            look.event(team.seconds(), "kill -9 %s, which was at %s"
                       % (self.victim.name, self.job[1]))
        if self.bring_back() and self.job:  # else it was not told of
            look.event(team.seconds(), self.victim.name + " is started again")
