"""What the shared result must hold, found by one process on its own, and how
much of it a store has lost. A fact is a line of an index key, a digest, or a
document's cross-references; it counts only if it is there and right."""
import os
import subprocess

import words

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ("index", "digest", "xref")


def facts(folder, docs, own_agent):
    """-> {(kind, key, document): what it must say}; None: anything."""
    index, of = {}, {}
    for doc in docs:
        with open(os.path.join(folder, doc), "rb") as f:
            of[doc] = words.terms(f.read())
        for term, at in of[doc].items():
            index[term] = words.merge(index.get(term), doc, at)
    true = {("index", "index/" + term, doc): at
            for doc, terms in of.items() for term, at in terms.items()}
    for doc in docs:
        true["xref", "xref/" + doc, doc] = words.related(
            doc, {t: index[t] for t in of[doc]})
        true["digest", "digest/" + doc, doc] = (
            None if own_agent else digest(folder, doc))
    return true


def digest(folder, doc):
    return subprocess.run([os.path.join(HERE, "digest.sh")], cwd=folder,
                          input=doc + "\n", stdout=subprocess.PIPE, text=True,
                          encoding="utf-8", check=True).stdout


def lost(true, store):
    """The facts that are missing or wrong in {key: value}, by kind."""
    gone = dict.fromkeys(KINDS, 0)
    parsed = {k: words.entries(v) for k, v in store.items()
              if k.startswith("index/")}
    for (kind, key, doc), want in true.items():
        if kind == "index":
            have = parsed.get(key, {}).get(doc)
        else:
            have = store.get(key)
        gone[kind] += have is None or want not in (None, have)
    return gone


def total(true):
    return {kind: sum(k == kind for k, _, _ in true) for kind in KINDS}


def example(true, store):
    """-> a term, how many documents its key names, how many it must"""
    must = {}
    for kind, key, _ in true:
        if kind == "index":
            must[key] = must.get(key, 0) + 1
    there = {k: len(words.entries(store.get(k))) for k in must}
    key = max(must, key=lambda k: (must[k] - there[k], k))
    return key[len("index/"):], there[key], must[key]
