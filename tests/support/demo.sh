# What the tests of the demo share; sourced by tests/e2e/demo.sh and
# tests/slow/demo.sh. Runs in the root of the checkout, as tests/run has it.
# shellcheck shell=bash
set -u
passed=0 failed=0
said=$CHOIR_TMP/said
stamp=$CHOIR_TMP/stamp
export CHOIR_DEMO_DIR=$CHOIR_TMP/demo
unset DOCS AGENT

is() # sentence, command...: passed if the command says yes
{
    local sentence=$1
    shift
    if "$@"; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1))
    echo "not so: $sentence"
}

says() { grep -qE -- "$1" "$said"; }

# Two columns of the row that begins so: without Choir and with it.
figure() # row, 1 or 2
{
    sed -nE "s/^ *$1 +([0-9]+)( of [0-9]+)? +([0-9]+)( of [0-9]+)?\$/\\1 \\3/p" \
        "$said" | cut -d' ' -f"$2"
}

# The tests of one run are in a session of their own; the demo's are too.
processes() { pgrep -c -s 0 -r R,S,D,T; } # zombies are nobody's fault
before=$(processes)
left_none()
{
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(processes)" -le "$before" ] && return
        sleep 0.1
    done
    pgrep -a -s 0
    return 1
}

# Files that are new since the stamp, in the checkout and at home, besides
# what the build and the test itself put there.
new_elsewhere()
{
    find . "$HOME" -newer "$stamp" -type f -not -path './.git/*' \
        -not -path './build/*' -not -path './tests/*' -not -path "$CHOIR_BUILD/*" \
        -not -path "$CHOIR_DEMO_DIR/*" -not -path "$CHOIR_TMP/docs/*" \
        -not -path "$said*" -not -path "$stamp" | grep .
}
wrote_only_there() { ! new_elsewhere; }

documents() # some documents of this checkout into $DOCS
{
    export DOCS=$CHOIR_TMP/docs
    mkdir -p "$DOCS/notes"
    cp README.md docs/*.md proto/*.h "$DOCS"
    printf '# Übergröße\n\nGrüße an alle Agenten. Ein Satz.\n' \
        >"$DOCS/notes/ein Brief.md"
    : >"$DOCS/empty.md"
    printf 'a\0b\377' >"$DOCS/notes/binary"
}

demo() # variable=value...
{
    touch "$stamp"
    sleep 0.01
    env "$@" timeout 120 tools/demo/run >"$said" 2>&1
    code=$?
    [ -z "${VERBOSE:-}" ] || cat "$said"
}

# Besides what is to be pasted, which a path of one's own may make longer.
narrow()
{
    ! grep -vF "$CHOIR_DEMO_DIR" "$said" | LC_ALL=C.UTF-8 grep -E '.{81}'
}
plain() { ! grep -q $'\033' "$said"; }

# What any successful run must show.
promised()
{
    is 'it ends with 0' [ "$code" -eq 0 ]
    [ "$code" -eq 0 ] || cat "$said"
    is 'plain files lose something' [ "$(figure 'facts lost, all together' 1)" -gt 0 ]
    is 'Choir loses nothing' [ "$(figure 'facts lost, all together' 2)" -eq 0 ]
    is 'Choir leaves no task undone' [ "$(figure 'tasks never done' 2)" -eq 0 ]
    is 'Choir has no task done twice' [ "$(figure 'tasks done twice' 2)" -eq 0 ]
    is 'an agent was killed, twice' [ "$(grep -c 'kill -9 .*, which was at' "$said")" -eq 2 ]
    is 'it came back, twice' [ "$(grep -c ' is started again' "$said")" -eq 2 ]
    is 'the broker was killed' says 'kill -9 choird'
    is 'the broker came back' says 'choird is back after'
    [ $failed -eq 0 ] || grep -E '^ +[0-9.]+ s  |so few documents' "$said"
    is 'no line is wider than 80' narrow
    is 'nothing is coloured' plain
    is 'no process is left' left_none
    is 'it wrote nothing elsewhere' wrote_only_there
    is 'the result is there to read' [ -s "$CHOIR_DEMO_DIR/result.md" ]
    is 'and for programs' python3 -m json.tool "$CHOIR_DEMO_DIR/result.json" /dev/null
}

ending()
{
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
