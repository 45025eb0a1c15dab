"""Which documents the agents get: a copy, so that nothing moves under them."""
import os
import re
import shutil

DOCUMENTS_MAX = 60
BYTES_MAX = 256 * 1024
OURS = ("README.md", "CHANGELOG.md", "docs", "proto", "agent-sdk", "broker",
        "tools")
SKIP = {"build", "node_modules", "__pycache__", "venv", "corpus", "vectors"}
# What the agents of this demo read best comes first when there is too much.
ORDER = (".md", ".txt", ".rst", ".org", ".adoc", ".h", ".c", "")


def readable(path):
    """Text that people wrote: UTF-8 without NUL, of a sensible size."""
    try:
        if not 0 < os.path.getsize(path) <= BYTES_MAX:
            return False
        with open(path, "rb") as f:
            text = f.read()
        text.decode()
        return b"\0" not in text and bool(re.search(rb"[A-Za-z]{4}|[\x80-\xff]",
                                                    text))
    except (OSError, UnicodeDecodeError):
        return False


def walk(top, starts):
    for start in starts:
        path = os.path.join(top, start)
        if os.path.isfile(path):
            yield start
        for folder, inner, names in os.walk(path):
            inner[:] = [d for d in inner
                        if d not in SKIP and not d.startswith(".")]
            for name in names:
                if not name.startswith("."):
                    yield os.path.relpath(os.path.join(folder, name), top)


def rank(name):
    ending = os.path.splitext(name)[1].lower()
    return (ORDER.index(ending) if ending in ORDER else len(ORDER),
            name.count("/"), name)


def choose(folder, root, most):
    """-> (top folder, names of documents in it, how many there would be, how
    many files there are that are no documents)"""
    if folder:
        top, starts = os.path.abspath(os.path.expanduser(folder)), ["."]
    else:
        top, starts = root, OURS
    if os.path.isfile(top):
        top, starts = os.path.dirname(top), [os.path.basename(top)]
    elif not os.path.isdir(top):
        raise FileNotFoundError(f"DOCS={folder}: there is no such folder")
    files = {n for n in map(os.path.normpath, walk(top, starts))
             if folder or n.endswith((".md", ".h", ".c"))}
    found = [n for n in sorted(files, key=rank)
             if not re.search(r"[\x00-\x1f\x7f]", n)
             and len(n.encode(errors="replace")) <= 200
             and printable(n) and readable(os.path.join(top, n))]
    return (top, sorted(found[:most], key=str.encode), len(found),
            len(files) - len(found))


def printable(name):
    try:
        name.encode()
        return True
    except UnicodeEncodeError:
        return False


def copy(top, names, to):
    for name in names:
        target = os.path.join(to, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(top, name), target)
