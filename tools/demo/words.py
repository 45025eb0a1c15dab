"""What an agent finds in one document. The same rules stand in agent.mjs and
agent.c, and the demo compares what all three wrote with what this file says.

A document is bytes. Words are runs of letters, digits, _ and whatever is not
ASCII, so that any language's UTF-8 stays whole; a term is a word of 4 to 40
bytes in lower case that begins with no digit and no _ and is no stop word.
"""
import os
import re

TERMS_PER_DOCUMENT = 16
LINES_PER_TERM = 5
RELATED = 3

# Dashes, quotes and spaces beyond ASCII part words too.
GAP = re.compile(rb"\xc2[\x80-\xbf]|\xe2[\x80\x81][\x80-\xbf]|"
                 rb"\xe3\x80[\x80-\xbf]")
WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")

with open(os.path.join(os.path.dirname(__file__), "stopwords"), "rb") as f:
    STOP = frozenset(f.read().split())


def terms(text):
    """bytes -> {term: "3,17,40"}: the most frequent terms and where."""
    count, lines = {}, {}
    for number, line in enumerate(text.split(b"\n"), 1):
        for word in WORD.findall(GAP.sub(b" ", line)):
            word = word.lower()
            if not 4 <= len(word) <= 40 or word[:1] in b"0123456789_" \
                    or word in STOP:
                continue
            count[word] = count.get(word, 0) + 1
            at = lines.setdefault(word, [])
            if len(at) < LINES_PER_TERM and (not at or at[-1] != number):
                at.append(number)
    best = sorted(count, key=lambda w: (-count[w], w))[:TERMS_PER_DOCUMENT]
    return {w.decode(): ",".join(map(str, lines[w])) for w in best}


def entries(value):
    """The value of an index key, "doc:3,17" a line -> {doc: "3,17"}."""
    return dict(line.rsplit(":", 1) for line in (value or "").splitlines())


def merge(value, doc, lines):
    """Put one document's entry into the value of an index key."""
    found = entries(value)
    found[doc] = lines
    return "".join(f"{d}:{found[d]}\n"
                   for d in sorted(found, key=str.encode))


def related(doc, index):
    """{term: value of its index key} of doc's own terms -> the documents it
    shares the most with; a term that few documents have counts for more."""
    weight, why = {}, {}
    for term, value in index.items():
        docs = entries(value)
        for other in docs:
            if other != doc:
                weight[other] = weight.get(other, 0) + 5040 // len(docs)
                why.setdefault(other, []).append((len(docs), term.encode()))
    best = sorted(weight, key=lambda d: (-weight[d], d.encode()))[:RELATED]
    return "".join(
        "%s: %s\n" % (d, ", ".join(t.decode() for _, t in sorted(why[d])[:3]))
        for d in best)
