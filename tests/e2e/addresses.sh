#!/bin/bash
# A broker is reached at addresses of both kinds, and by a name that has both;
# also by one that nobody knew at first.
. tests/e2e/cli.bash
has_address() { getent ahosts "$1" | grep -q "^$2 "; }

listen='tcp://[::1]:*'
{ : </dev/tcp/::1/1; } 2>&1 | grep -q refused || listen='tcp://127.0.0.1:*'
start_broker
port=${listen##*:}
ends 0 choir put key one
ends 0 choir get key
is 'what it wrote' one "$out"
invite() { choir invite --address "tcp://$1:$port" 2>/dev/null | head -n1; }
for name in localhost ip6-localhost; do
    if has_address $name ::1; then
        ends 0 choir join "$(invite $name)" --as $name
        ends 0 choir --as $name put key two
    fi
done
ends 3 choir --timeout 1s join "$(invite a..b)" --as nobody
like 'a name that nobody knows' '^UNREACHABLE url=tcp://a..b' "$err"
stop_broker

listen="tcp://127.0.0.1:$port"
start_broker
if has_address localhost 127.0.0.1; then
    ends 0 choir join "$(invite localhost)" --as four
    ends 0 choir --as four put key three
    if has_address localhost ::1; then
        ends 0 choir --as localhost put key four
    fi
fi
stop_broker
finish
