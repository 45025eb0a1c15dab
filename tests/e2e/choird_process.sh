#!/bin/bash
# choird as a process: how it starts, refuses to, reloads and stops.
set -u
service=$(cd "$(dirname "$0")/../.." && pwd)/broker/choird.service
tmp=${CHOIR_TMP:-$(mktemp -d)}
cd "$tmp" || exit 1
passed=0 failed=0 pid=

ok() { # sentence, then a command that must succeed
    local what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "failed: $what"
    fi
}
# Wait up to 10 s for a line in a log.
line() { # file, pattern
    for _ in $(seq 500); do
        grep -q -- "$2" "$1" 2>/dev/null && return 0
        sleep 0.02
    done
    echo "no line $2 in $1:"; cat "$1"
    return 1
}
start() { # log, arguments
    local log=$1
    shift
    choird "$@" 2>"$log" &
    pid=$!
    line "$log" event=ready
}
# Ends within 5 s, with that code.
ends() { # pid, code
    local n=0
    while kill -0 "$1" 2>/dev/null && [ $n -lt 250 ]; do sleep 0.02; n=$((n + 1)); done
    [ $n -lt 250 ] || return 1
    wait "$1"
    local got=$?
    [ $got -eq "$2" ] || { echo "exit code $got, not $2"; return 1; }
}
refuses() { # code, pattern, command...
    local code=$1 pattern=$2 got
    shift 2
    timeout 10 "$@" >out 2>&1
    got=$?
    [ $got -eq "$code" ] && grep -q -- "$pattern" out && return 0
    echo "exit code $got, not $code; or not \"$pattern\":"; cat out
    return 1
}
listen='tcp://127.0.0.1:*'

ok "version" refuses 0 '^choird [0-9]' choird --version
ok "help" refuses 0 '^usage: choird' choird --help
ok "unknown option is wrong usage" refuses 2 'help' choird --frobnicate
ok "stray argument is wrong usage" refuses 2 'unexpected argument: x' choird x

# --- Starting and stopping
ok "starts in a directory that it makes" start log1 --data made/for/it --listen "$listen"
ok "the directory is its owner's alone" [ "$(stat -c %a made/for/it)" = 700 ]
ok "local.invite is its owner's alone" [ "$(stat -c %a made/for/it/local.invite)" = 600 ]
ok "the log names the port it got" grep -q 'event=listening url=tcp://127.0.0.1:[1-9]' log1
ok "a second daemon is refused and told who has it" \
    refuses 1 "pid.*$pid\|$pid" choird --data made/for/it --listen "$listen"
url=$(sed -n 's/.*event=listening url=//p' log1)
ok "a port that is taken is refused by name" \
    refuses 1 "cannot listen on $url: Address already in use" choird --data other --listen "$url"

# Idle means idle: less than 2 % of a processor over a second.
ticks() { awk '{print $14 + $15}' "/proc/$pid/stat"; }
before=$(ticks); sleep 1; after=$(ticks)
ok "it does nothing when nothing happens" [ $((after - before)) -le 2 ]

kill -TERM "$pid"
ok "SIGTERM ends it with 0" ends "$pid" 0
ok "it said so" grep -q event=stopped log1
ok "it left a sealed record" test -s made/for/it/seal
cp made/for/it/local.invite invite.before
ok "starts again" start log2 --data made/for/it --listen "$url"
ok "the invitation is kept" cmp -s made/for/it/local.invite invite.before
kill -KILL "$pid"
wait "$pid" 2>/dev/null
ok "starts after kill -9" start log3 --data made/for/it --listen "$url"
kill -INT "$pid"
ok "SIGINT ends it with 0" ends "$pid" 0
ok "--verify finds nothing wrong" refuses 0 '^ok entries=' choird --data made/for/it --verify

rm made/for/it/local.invite
ok "starts without local.invite" start log4 --data made/for/it --listen "$listen"
ok "and makes another" grep -q '^choir-invite-1:' made/for/it/local.invite
kill -TERM "$pid"
kill -TERM "$pid"
ok "two signals end it too" ends "$pid" 0

# --- What it refuses
: >file
ok "a data directory under a file is refused by name" \
    refuses 1 'file/data' choird --data file/data --listen "$listen"
ok "another transport is refused" \
    refuses 2 'must be tcp://ADDRESS:PORT' choird --data d2 --listen ipc://x
ok "no such host is refused" \
    refuses 1 'cannot listen on tcp://256.1.1.1:1' choird --data d2 --listen tcp://256.1.1.1:1
ok "a missing configuration is refused by name" \
    refuses 2 'nowhere.conf' choird -c nowhere.conf
echo 'colour = blue' >bad.conf
ok "an unknown option is refused with its line" \
    refuses 2 'bad.conf:1' choird -c bad.conf --data d2
ok "--check-config finds it too" refuses 2 'colour' choird -c bad.conf --check-config
echo 'lease_ms_default = 7' >bad.conf
ok "a value out of range is refused with the limit" \
    refuses 2 '100' choird -c bad.conf --check-config
ok "--check-config prints what it comes to" \
    refuses 0 'lease_ms_default' choird --check-config --data d2
ok "which is accepted again" \
    bash -c 'choird --check-config --data d2 >all.conf && choird -c all.conf --check-config >/dev/null'

# --- SIGHUP
echo 'log_level = info' >choird.conf
ok "starts from a file" start log5 -c choird.conf --data d3 --listen "$listen"
printf 'log_level = debug\nlease_ms_default = 1234\n' >choird.conf
kill -HUP "$pid"
ok "SIGHUP takes the new file" line log5 'event=reload result=done'
ok "and goes on" env CHOIR_DATA=d3 HOME="$tmp" choir put key value >/dev/null
echo 'colour = blue' >choird.conf
kill -HUP "$pid"
ok "SIGHUP keeps the old when the new is bad" line log5 'the old configuration stays'
ok "and says what is bad" grep -q 'colour' log5
echo 'segment_bytes = 64MiB' >choird.conf
kill -HUP "$pid"
ok "SIGHUP keeps the old when a restart is needed" line log5 'takes a restart'
ok "it still runs" kill -0 "$pid"
kill -TERM "$pid"
ok "and stops" ends "$pid" 0
ok "and writes what it holds where it did before" \
    bash -c '! grep level=warn.event=links log5 && ls d3/links-*' >/dev/null
ok "the changed rule is in the record" refuses 0 'ok entries' choird --data d3 --verify

# --- The service manager
if command -v python3 >/dev/null; then
    python3 - "$tmp/notify" >told 2>&1 <<'PY' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(20)
try:
    while True:
        text = s.recv(4096).decode()
        print(text, flush=True)
        if "STOPPING" in text:
            break
except TimeoutError:
    pass
PY
    python=$!
    for _ in $(seq 250); do [ -S notify ] && break; sleep 0.02; done
    NOTIFY_SOCKET=$tmp/notify choird --data d4 --listen "$listen" 2>log6 &
    pid=$!
    ok "the service manager hears READY" line told READY=1
    kill -HUP "$pid"
    ok "and RELOADING" line told RELOADING=1
    kill -TERM "$pid"
    ok "and STOPPING" line told STOPPING=1
    ok "and it stops" ends "$pid" 0
    kill "$python" 2>/dev/null
    wait "$python" 2>/dev/null
fi

if systemd-analyze security --help 2>/dev/null | grep -q offline; then
    # shellcheck disable=SC2016 # for the inner shell
    ok "the unit is exposed to 2 of 10 at most" bash -c '
        level=$(systemd-analyze security --offline=yes "$1" |
            sed -n "s/.*exposure level for choird.service: \([0-9]*\).*/\1/p")
        [ "$level" -le 1 ]' _ "$service"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
