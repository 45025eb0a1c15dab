"""The third part: the result, who wrote it, and that nobody changed it."""
import os
import shlex
import shutil
import subprocess

import look
import result
from team import Trouble

WITH = """#!/bin/sh
# Runs a command with the demo's broker, which it starts and stops if it is not
# there: build/demo/with choir ls
set -u
PATH={path}:$PATH
CHOIR_DATA={data} CHOIR_CONFIG={config} CHOIR_URL={url}
export PATH CHOIR_DATA CHOIR_CONFIG CHOIR_URL
unset CHOIR_AS CHOIR_IDENTITY CHOIR_SPACE
[ $# -gt 0 ] || set -- "${{SHELL:-/bin/sh}}"
choird --data "$CHOIR_DATA" --listen "$CHOIR_URL" >>{log} 2>&1 &
broker=$!
trap 'kill $broker 2>/dev/null; wait $broker 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"$@"
"""


def choir(run, *words, code=0):
    """What a command prints, both ways; it must end with this code."""
    done = subprocess.run(["choir", *words], env=run.env, cwd=run.demo,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    said = done.stdout.decode(errors="replace")
    if done.returncode != code:
        raise Trouble("choir %s ended with %d, not %d: %s" % (
            " ".join(words), done.returncode, code, said.strip()[-400:]))
    return said


def show_result(run, store, together):
    index = result.index_of(store)
    for term in result.top_terms(index, 5):
        look.line(look.cut("    %-14s %3d document%s, most of it in %s" % (
            term, len(index[term]), "s" * (len(index[term]) > 1),
            result.foremost(index[term])), look.WIDTH))
    doc = example(store)
    if doc:
        look.line()
        look.tell(f"The digest of {doc}, and what is related to it:")
        look.wrap(store["digest/" + doc], 0)
        for row in store.get("xref/" + doc, "").splitlines():
            look.wrap("see " + row)
    result.write(run.demo, store, together.written(), together.versions,
                 together.names)
    look.line()
    look.tell(f"All of it: {short(run.demo)}/result.md and result.json.")


def example(store):
    """The document whose digest says the most, within reason."""
    docs = [k[7:] for k in store if k.startswith("digest/")]
    fits = [d for d in docs if len(store["digest/" + d]) < 400] or docs
    return max(fits, key=lambda d: (d.endswith(".md"),
                                    len(store["digest/" + d]), d),
               default=None)


def show_authors(run, together, languages):
    rows = [[name, languages.get(name, ""), *(
        by.get(kind, 0) or "-" for kind in ("index", "digest", "xref"))]
        for name, by in sorted(together.written().items())]
    look.table(["    wrote", "in", "index", "digest", "xref"], rows)


def verify(run, data):
    look.show(f"$ {typed(run.build)}/choir verify {typed(data)} "
              f"--key {typed(run.key)}")
    look.wrap(choir(run, "verify", data, "--key", run.key), 10)


def flip(run, data, store, together):
    """Change one letter of a value in a copy, and have it found."""
    copy = os.path.join(run.demo, "copy")
    shutil.copytree(data, copy)
    found = written_once(copy, store, together)
    if not found:
        look.tell("(Each value stands in the record more than once; "
                  "no letter of one is turned over.)")
        return
    key, revision, name, at = found
    with open(os.path.join(copy, name), "r+b") as f:
        f.seek(at)
        old = f.read(1)
        f.seek(at)
        f.write(bytes([old[0] ^ 1]))
    look.tell("In a copy of the record, one bit of one letter of %s is turned "
              "over (%s, byte %d). It was written as revision %d."
              % (key, name, at, revision))
    look.show(f"$ {typed(run.build)}/choir verify {typed(copy)} "
              f"--key {typed(run.key)}")
    said = choir(run, "verify", copy, "--key", run.key, code=4)
    look.wrap(said)
    if f"entry {revision}:" not in said:
        raise Trouble(f"verify did not name entry {revision}")


def written_once(folder, store, together):
    """-> a key whose value stands once in the record, the revision that wrote
    it, the file it is in, a byte amid it; a digest's if there is one. What
    was refused, and what other keys say too, would be found in an entry that
    comes earlier."""
    texts = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith("segment-"):
            with open(os.path.join(folder, name), "rb") as f:
                texts[name] = f.read().rstrip(b"\0")
    for key in sorted(store, key=lambda k: (k.startswith("digest/"), k),
                      reverse=True):
        value = store[key].encode()
        names = [n for n, t in texts.items() if value in t]
        if len(names) == 1 and texts[names[0]].count(value) == 1:
            return (key, together.versions[key]["items"][0]["revision"],
                    names[0], texts[names[0]].find(value) + len(value) // 2)
    return None


def write_with(run):
    path = os.path.join(run.demo, "with")
    with open(path, "w") as f:
        f.write(WITH.format(
            path=shlex.quote(run.build), data=shlex.quote(run.data),
            config=shlex.quote(run.config), url=shlex.quote(run.url),
            log=shlex.quote(os.path.join(run.demo, "log", "with.txt"))))
    os.chmod(path, 0o755)
    return path


def suggest(run, key):
    path = typed(write_with(run))
    for command, why in (
            (f"{path} choir log {shlex.quote(key)}", "who wrote it, and when"),
            (f"{path} choir tap --since 0 --count 8", "the record, verified"),
            (f"{path} choir put note/mine 'hello' --as me", "write something"),
            ("%s/choir verify %s --key %s" % (
                typed(run.build), typed(run.data), typed(run.key)),
             "prove it again; no broker")):
        look.line("    " + command)
        look.quiet("    " + why)


def typed(path):
    """As one would type it here."""
    return shlex.quote(short(path))


def short(path):
    """As one would call it here."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
