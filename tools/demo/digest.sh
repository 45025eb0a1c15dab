#!/bin/sh
# The digest agent: POSIX shell and awk. The name of a document comes on stdin,
# its digest goes to stdout: heading, first sentences, size, key terms. It knows
# nothing of Choir; `choir work --exec` makes an agent of it.
#
# With AGENT set, that command writes the digest instead: it gets an
# instruction and the document on stdin and has AGENT_TIMEOUT seconds.
set -u
export LC_ALL=C
here=$(dirname "$0")
IFS= read -r doc || [ -n "${doc:-}" ] || { echo 'no document' >&2; exit 1; }
[ -r "$doc" ] || { echo "cannot read $doc" >&2; exit 1; }

if [ -n "${AGENT:-}" ]; then
    digest=$({
        echo "Summarise the document below in two or three plain sentences."
        echo "Answer with the summary alone."
        echo
        echo "Document: $doc"
        echo
        cat -- "$doc"
    } | timeout -k 2 "${AGENT_TIMEOUT:-60}" sh -c "$AGENT")
    rc=$?
    [ $rc -eq 124 ] && echo "AGENT took more than ${AGENT_TIMEOUT:-60} s" >&2
    [ $rc -eq 0 ] || { echo "AGENT ended with $rc on $doc" >&2; exit 1; }
    [ -n "$digest" ] || { echo "AGENT said nothing about $doc" >&2; exit 1; }
    printf '%s\n' "$digest" | head -c 4000
    exit 0
fi

exec awk -v doc="$doc" -v stopfile="$here/stopwords" '
function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
BEGIN {
    while ((getline line < stopfile) > 0) {
        n = split(line, w, " ")
        for (i = 1; i <= n; i++) stop[w[i]] = 1
    }
}
{
    bytes += length($0) + 1
    sub(/\r$/, "")
    n = split(tolower($0), w, /[^a-z0-9_\200-\377]+/)
    for (i = 1; i <= n; i++) {
        words += w[i] != ""
        if (length(w[i]) > 3 && length(w[i]) <= 40 && w[i] !~ /^[0-9_]/ &&
            !(w[i] in stop))
            count[w[i]]++
    }
    if (/^```/) fenced = !fenced
    line = $0
    # Of a source, what its comments say; of a script, not the first line.
    source = doc ~ /\.[ch]$/
    if (source && line !~ /^(\/\*| \*|\/\/)/) next
    if (FNR == 1 && line ~ /^#!/) next
    if (line ~ /^#+ / && heading == "" && !source) {
        sub(/^#+ /, "", line); heading = trim(line); next
    }
    if (fenced || line ~ /^(```|\||#|=|-)/) next
    sub(/^(\/\*\*?|[ \t]*\*\/|[ \t]*\*|\/\/) ?/, "", line)
    sub(/\*\/.*$/, "", line)
    gsub(/[*`]+/, "", line)
    line = trim(line)
    if (line == "" && said != "") closed = 1
    if (line != "" && !closed && length(said) < 320) {
        if (said == "" && line !~ /[A-Za-z\200-\377]/) next
        said = said (said == "" ? "" : " ") line
    }
}
END {
    # One or two sentences, the second only while it stays short.
    cut = match(said, /[.!?]( |$)/) ? RSTART : length(said)
    if (cut < 80 && match(substr(said, cut + 2), /[.!?]( |$)/))
        cut += 1 + RSTART
    said = substr(said, 1, cut)
    if (length(said) > 300) {
        said = substr(said, 1, 300)
        sub(/[\300-\377][\200-\277]*$/, "", said)
        sub(/[ \t][^ \t]*$/, " ...", said)
    }
    print (heading == "" ? doc : heading)
    if (said != "") print said
    printf "%d lines, %d words, %d bytes\n", NR, words, bytes
    for (k = 1; k <= 5; k++) {
        best = ""
        for (t in count)
            if (best == "" || count[t] > count[best] ||
                (count[t] == count[best] && t < best)) best = t
        if (best == "") break
        keys = keys (k > 1 ? ", " : "terms: ") best
        delete count[best]
    }
    if (keys != "") print keys
}' <"$doc"
