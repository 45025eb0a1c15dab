# What the tests of the command line share: a broker of their own in CHOIR_TMP,
# and checks that count. Sourced, never run. A process costs more than most of
# what is checked, so what the shell can do by itself it does.
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
# slurp NAME FILE: NAME=$(<FILE), without a process
slurp() {
    local text=''
    IFS= read -rd '' text <"$2"
    while [[ $text == *$'\n' ]]; do text=${text%$'\n'}; done
    printf -v "$1" %s "$text"
}
# has FILE TEXT
has() {
    local all
    slurp all "$1"
    [[ $all == *"$2"* ]]
}
# ends CODE COMMAND...: exit code; $out and $err are what it said
ends() {
    local wanted=$1 code
    shift
    "$@" >"$CHOIR_TMP/out" 2>"$CHOIR_TMP/err" </dev/null
    code=$?
    slurp out "$CHOIR_TMP/out"
    slurp err "$CHOIR_TMP/err"
    if [ $code -eq "$wanted" ]; then ok; else
        bad "$* ends with $wanted" "  got: $code" "  out: $out" "  err: $err"
    fi
}
# until_true COMMAND...: at most ten seconds, or $tries fiftieths of one
exec {never}<> <(:)
until_true() {
    local i
    for ((i = 0; i < ${tries:-500}; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        read -rt 0.02 -u "$never"
    done
    bad "never came true: $*"
    return 1
}

listen='tcp://127.0.0.1:*'
# start_broker [PROGRAM]: with what stands in $config, if it is set
start_broker() {
    local log
    : >"$CHOIR_TMP/choird.log"
    "${1:-choird}" ${config:+--config "$config"} --data "$CHOIR_DATA" --listen "$listen" >>"$CHOIR_TMP/choird.log" 2>&1 &
    broker=$!
    until_true has "$CHOIR_TMP/choird.log" event=ready || { cat "$CHOIR_TMP/choird.log"; exit 1; }
    # the same place after a restart
    slurp log "$CHOIR_TMP/choird.log"
    [[ $log =~ event=listening\ url=([^[:space:]]*) ]] && listen=${BASH_REMATCH[1]}
}
stop_broker() { kill -"${1:-TERM}" "$broker" && wait "$broker" 2>/dev/null; }
# until_it_dies COMMAND...: of what is said meanwhile, answered or not; its code
until_it_dies() {
    local asking code
    "$@" >/dev/null 2>&1 </dev/null &
    asking=$!
    wait "$broker"
    code=$?
    kill $asking 2>/dev/null
    wait $asking 2>/dev/null
    return $code
}

# field NAME...: what the first JSON object on standard input says, as it
# stands there without spaces; a string as what it means, nothing as null
field() {
    local json token name='' depth=0 said sep=''
    local -A of=()
    local one='^[[:space:]]*("([^"\]|\\.)*"|[][{}:,]|[^][{}:,"[:space:]]+)'
    IFS= read -rd '' json
    while [[ $json =~ $one ]]; do
        token=${BASH_REMATCH[1]} json=${json:${#BASH_REMATCH[0]}}
        case $token in
        '{' | '[') depth=$((depth + 1)) ;;
        '}' | ']') depth=$((depth - 1)) ;;
        esac
        if [ $depth -eq 0 ]; then break; fi
        if [ -z "$name" ]; then
            [[ $token == \"* ]] && name=$token
        elif [ $depth -eq 1 ] && [ "$token" = , ]; then
            name=''
        elif [ $depth -gt 1 ] || [ "$token" != : ]; then
            of[$name]+=$token
        fi
    done
    for name; do
        said=${of[\"$name\"]-null}
        if [[ $said == \"*\" ]]; then
            said=${said:1:-1} said=${said//\\\"/\"}
            printf -v said %b "$said"
        fi
        printf '%s%s' "$sep" "$said"
        sep=' '
    done
    echo
}

finish() {
    [ -n "${broker:-}" ] && kill "$broker" 2>/dev/null && wait "$broker" 2>/dev/null
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
    exit
}
