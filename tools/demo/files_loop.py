#!/usr/bin/env python3
"""What `choir work digest --exec digest.sh` does, with two JSON files in place
of Choir: files_loop.py DIR COMMAND. COMMAND gets the document's name on stdin
and says the digest."""
import subprocess
import sys

import agent


def main(folder, command):
    agent.QUEUES = ("digest",)
    store = agent.Files(folder)
    while task := store.take():
        agent.say("took", "digest", task["doc"])
        store.read([])
        done = subprocess.run([command], input=task["doc"] + "\n", text=True,
                              encoding="utf-8", stdout=subprocess.PIPE)
        if done.returncode == 0:
            store.finish(task, {"digest/" + task["doc"]: done.stdout})
        else:
            agent.say("failed", "digest", task["doc"])


if __name__ == "__main__":
    main(*sys.argv[1:])
