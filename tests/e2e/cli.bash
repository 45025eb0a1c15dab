# What the tests of the command line share: a broker of their own in CHOIR_TMP,
# and checks that count. Sourced, never run.
set -u
export CHOIR_DATA=$CHOIR_TMP/data CHOIR_CONFIG=$CHOIR_TMP/config
unset CHOIR_URL CHOIR_AS CHOIR_SPACE CHOIR_IDENTITY CHOIR_SOCKET XDG_DATA_HOME
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); printf 'FAILED: %s\n' "$@"; }

# is WHAT WANTED GOT
is() { if [ "$2" = "$3" ]; then ok; else bad "$1" "  wanted: $2" "  got:    $3"; fi; }
# like WHAT PATTERN GOT: an extended regular expression
like() { if [[ $3 =~ $2 ]]; then ok; else bad "$1" "  wanted: $2" "  got:    $3"; fi; }
# ends CODE COMMAND...: exit code; $out and $err are what it said
ends() {
    local wanted=$1 code
    shift
    "$@" >"$CHOIR_TMP/out" 2>"$CHOIR_TMP/err" </dev/null
    code=$?
    out=$(<"$CHOIR_TMP/out") err=$(<"$CHOIR_TMP/err")
    if [ $code -eq "$wanted" ]; then ok; else
        bad "$* ends with $wanted" "  got: $code" "  out: $out" "  err: $err"
    fi
}
# until_true COMMAND...: at most ten seconds
until_true() {
    local i
    for ((i = 0; i < 500; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.02
    done
    bad "never came true: $*"
    return 1
}

listen='tcp://127.0.0.1:*'
# start_broker [PROGRAM]: with what stands in $config, if it is set
start_broker() {
    : >"$CHOIR_TMP/choird.log"
    "${1:-choird}" ${config:+--config "$config"} --data "$CHOIR_DATA" --listen "$listen" >>"$CHOIR_TMP/choird.log" 2>&1 &
    broker=$!
    until_true grep -q event=ready "$CHOIR_TMP/choird.log" || { cat "$CHOIR_TMP/choird.log"; exit 1; }
    # the same place after a restart
    listen=$(sed -nE 's/.*event=listening url=([^ ]*).*/\1/p' "$CHOIR_TMP/choird.log" | head -n1)
}
stop_broker() { kill -"${1:-TERM}" "$broker" && wait "$broker" 2>/dev/null; }
# field NAME: of the JSON object on standard input
field() { python3 -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1]))' "$1"; }

finish() {
    [ -n "${broker:-}" ] && kill "$broker" 2>/dev/null && wait "$broker" 2>/dev/null
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
    exit
}
