"""What the agents have made together, for a person to read."""
import json
import os

import words


def index_of(store):
    return {k[6:]: words.entries(v) for k, v in store.items()
            if k.startswith("index/")}


def top_terms(index, count):
    return sorted(index, key=lambda t: (-len(index[t]), t.encode()))[:count]


def foremost(docs):
    """{doc: "3,17"} -> "doc:3", where there is the most of it"""
    best = min(docs, key=lambda d: (-docs[d].count(","), d))
    return best + ":" + docs[best].split(",")[0]


def write(folder, store, written, versions, names):
    """result.md to read, result.json to work with."""
    index = index_of(store)
    authors = {k: sorted({names.get(v["agent"], "?") for v in said["items"]})
               for k, said in versions.items()}
    with open(os.path.join(folder, "result.json"), "w",
              encoding="utf-8") as f:
        json.dump({"index": index,
                   "digest": part(store, "digest/"),
                   "xref": part(store, "xref/"),
                   "authors": authors}, f, ensure_ascii=False, indent=1)
    with open(os.path.join(folder, "result.md"), "w", encoding="utf-8") as f:
        f.write("".join(markdown(store, index, written, authors)))


def part(store, prefix):
    return {k[len(prefix):]: v for k, v in store.items()
            if k.startswith(prefix)}


def markdown(store, index, written, authors):
    yield "# What the agents found\n\n"
    yield "Made by make demo; who wrote each part stands with it.\n"
    yield "\n## Who wrote it\n\n"
    for name in sorted(written):
        yield f"- {name}: " + ", ".join(
            f"{n} of {kind}/" for kind, n in sorted(written[name].items()))
        yield "\n"
    yield "\n## Documents\n"
    for doc, digest in sorted(part(store, "digest/").items()):
        yield f"\n### {doc}\n\n"
        yield "".join(f"> {row}\n" for row in digest.splitlines())
        yield f"\nby {', '.join(authors['digest/' + doc])}"
        related = store.get("xref/" + doc)
        if related:
            yield "; related, by " + ", ".join(authors["xref/" + doc]) + ":\n\n"
            yield "".join(f"- {row}\n" for row in related.splitlines())
        else:
            yield "\n"
    yield "\n## Index\n\n"
    for term in sorted(index, key=str.encode):
        found = index[term]
        yield f"- **{term}** " + "; ".join(
            f"{d}:{found[d]}" for d in sorted(found, key=str.encode))
        yield f" (by {', '.join(authors['index/' + term])})\n"
