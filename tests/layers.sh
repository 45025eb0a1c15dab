#!/bin/bash
# Holds up the floors of the house: a file includes only what lies below it, and
# each third-party header is included by one module. `tests/layers.sh [ROOT]`
# checks a tree and first proves, on planted violations, that it can fail.
#
#   0 proto   1 broker/base   2 broker/ledger   3 broker/state
#   4 broker/{decide,evolve,outbox,router,cursor...}   5 broker/edge   6 main
#   beside them: agent-sdk (proto and its own), tools (choir.h, proto, its own)
set -uf # the patterns below are not to be expanded
shopt -s globstar nullglob
export LC_ALL=C

# path -> "part floor". An unknown file directly in broker/ stands on floor 4.
place_of() {
    case $1 in
    proto/*) place='proto 0' ;;
    broker/base/*) place='broker 1' ;;
    broker/ledger/*) place='broker 2' ;;
    broker/state/*) place='broker 3' ;;
    broker/edge*) place='broker 5' ;;
    broker/main.c) place='broker 6' ;;
    broker/*/*) place='unknown 0' ;;
    broker/*) place='broker 4' ;;
    agent-sdk/choir.h) place='choir.h 0' ;;
    agent-sdk/examples/*) place='example 0' ;;
    agent-sdk/*) place='sdk 0' ;;
    tools/*) place='tools 0' ;;
    *) place='outside 0' ;;
    esac
}

# Who may include <header>: patterns, or nothing if it is not ours to guard.
guardians_of() {
    case $1 in
    sodium.h | sodium/*) who='proto/key*.[ch] proto/hash.[ch] proto/ed25519.[ch]' ;;
    nettle/*) who='proto/hash.[ch]' ;;
    msgpack.h | msgpack/*) who='proto/pack.[ch] tools/json.c' ;;
    zmq.h | czmq.h | zmq_utils.h) who='broker/edge*.[ch] broker/main.c agent-sdk/connection*.[ch]' ;;
    confuse.h) who='broker/base/config_file.c' ;;
    bsd/*) who='agent-sdk/replica_map.c' ;;
    jansson.h) who='tools/*' ;;
    libpq-fe.h) who='broker/ledger/postgres.c' ;;
    microhttpd.h) who='tools/*' ;;
    cmocka.h) who='nobody' ;; # tests/ is not looked at
    *) who='' ;;
    esac
}

# Names the file meant, seen from the file that says it: beside it or from a
# root the Makefile passes (-I. and -Iagent-sdk).
resolve() { # file, name -> $target or nothing
    local dir=${1%/*} candidate
    for candidate in "$dir/$2" "$2" "agent-sdk/$2"; do
        while [[ $candidate =~ ^(.*/)?[^/.]+/\.\./(.*)$ ]]; do
            candidate=${BASH_REMATCH[1]}${BASH_REMATCH[2]}
        done
        [ -f "$root/$candidate" ] && { target=$candidate; return; }
    done
    target=''
}

wrong() { echo "$1: $2"; bad["$1"]=1; }

check_own() { # file, target
    local file=$1 target=$2 from floor to to_floor
    place_of "$file"; from=${place% *} floor=${place#* }
    place_of "$target"; to=${place% *} to_floor=${place#* }
    case $from:$to in
    unknown:* | *:unknown) wrong "$file" "no floor is known for it or for $target" ;;
    *:proto) ;;
    proto:*) wrong "$file" "proto includes $target" ;;
    broker:broker)
        [ "$to_floor" -le "$floor" ] ||
            wrong "$file" "floor $floor includes $target of floor $to_floor"
        [ "$floor" -eq 3 ] && [ "$to_floor" -eq 3 ] && check_sibling "$file" "$target"
        ;;
    sdk:sdk | sdk:choir.h | tools:tools | tools:choir.h | example:choir.h | example:example) ;;
    choir.h:*) wrong "$file" "the public header must stand alone, it includes $target" ;;
    *) wrong "$file" "$from includes $target" ;;
    esac
}

# In state/, a module (agent.c, agent_join.c) knows itself and the headers that
# all of them share.
check_sibling() {
    local a=${1##*/} b=${2##*/}
    [ "${a%%[._]*}" = "${b%%[._]*}" ] && return
    case $b in digest.h | state.h | index.h | item.h | handle.h | heap.h) return ;; esac
    case $a in state.c | state.h) return ;; esac # state.c puts the siblings together
    wrong "$1" "state/ siblings do not include each other: $2"
}

check_foreign() { # file, header
    local pattern
    guardians_of "$2"
    [ -z "$who" ] && return
    for pattern in $who; do
        # shellcheck disable=SC2053 # a pattern on purpose
        [[ $1 == $pattern ]] && return
    done
    wrong "$1" "<$2> belongs to $who"
}

sources() { # of $root -> ${all[@]}
    local path
    set +f
    all=()
    for path in "$root"/{proto,broker,agent-sdk,tools}/**/*.[ch]; do
        [[ $path == */node_modules/* ]] || all+=("${path#"$root"/}")
    done
    set -f
}

check_tree() { # root -> prints violations; $files, ${#bad[@]}
    root=$1
    declare -gA bad=()
    local file line name
    sources
    files=${#all[@]}
    while IFS=: read -r file line; do
        [[ $line =~ [\<\"]([^\>\"]+)[\>\"] ]] || continue
        name=${BASH_REMATCH[1]}
        resolve "$file" "$name"
        if [ -n "$target" ]; then check_own "$file" "$target"
        elif [[ $line == *\"* ]]; then wrong "$file" "\"$name\" is not there"
        else check_foreign "$file" "$name"; fi
    done < <(cd "$root" && exec grep -HE '^[ \t]*#[ \t]*include[ \t]*[<"]' "${all[@]}")
}

# ---- proof that it fails ---------------------------------------------------

passed=0 failed=0

planted() { # number of bad files, path, include...
    local wanted=$1 path=$2 include
    shift 2
    [ -d "$planted/${path%/*}" ] || mkdir -p "$planted/${path%/*}"
    for include; do echo "#include $include"; done >"$planted/$path"
    check_tree "$planted" >"$planted/said"
    if [ ${#bad[@]} -eq "$wanted" ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "self-test: $path with $* gave ${#bad[@]} violations, not $wanted"
        cat "$planted/said"
    fi
    [ "$wanted" -eq 0 ] || : >"$planted/$path"
}

self_test() {
    planted=$(mktemp -d) || exit 1
    mkdir -p "$planted"/{proto,broker/{base,ledger,state},agent-sdk/examples,tools}
    local f
    for f in proto/pack.h broker/base/log.h broker/ledger/ledger.h broker/state/state.h \
        broker/state/index.h broker/state/task.h broker/state/lease.h broker/decide.h \
        broker/edge.h agent-sdk/choir.h agent-sdk/connection.h tools/cli.h; do
        : >"$planted/$f"
    done
    planted 0 proto/pack.c '"proto/pack.h"' '<msgpack.h>' '<stdio.h>'
    planted 0 broker/state/task.c '"task.h"' '"broker/state/state.h"' '"index.h"' '<utlist.h>' '"proto/pack.h"'
    planted 0 broker/state/state.c '"task.h"' '"lease.h"'
    planted 0 broker/decide.c '"broker/state/task.h"' '"broker/ledger/ledger.h"' '<uthash.h>'
    planted 0 broker/edge.c '<czmq.h>' '"broker/decide.h"'
    planted 0 broker/main.c '<czmq.h>' '"broker/edge.h"'
    planted 0 tools/put.c '<choir.h>' '"cli.h"' '<jansson.h>' '"proto/pack.h"'
    planted 0 agent-sdk/connection.c '<zmq.h>' '"choir.h"' '"proto/pack.h"'
    planted 0 agent-sdk/examples/hello.c '<choir.h>'
    planted 1 proto/key.c '"broker/base/log.h"'
    planted 1 broker/base/env.c '"broker/ledger/ledger.h"'
    planted 1 broker/base/env.c '"../ledger/ledger.h"'
    planted 1 broker/ledger/segment.c '"broker/state/state.h"'
    planted 1 broker/state/mail.c '"broker/state/task.h"'
    planted 1 broker/state/mail.c '"broker/decide.h"'
    planted 1 broker/evolve.c '"broker/edge.h"'
    planted 1 broker/evolve.c '"agent-sdk/choir.h"'
    planted 1 broker/attic/old.c '"proto/pack.h"'
    planted 1 agent-sdk/call.c '"broker/decide.h"'
    planted 1 agent-sdk/examples/two.c '"proto/pack.h"' '"agent-sdk/connection.h"'
    planted 1 tools/tap.c '"broker/ledger/ledger.h"'
    planted 1 tools/tap.c '"agent-sdk/connection.h"'
    planted 1 tools/tap.c '<czmq.h>'
    planted 1 proto/bundle.c '<sodium.h>'
    planted 1 proto/key.c '<nettle/sha2.h>'
    planted 1 broker/decide.c '  <msgpack.h>'
    planted 1 broker/router.c '<zmq.h>'
    planted 1 broker/base/log.c '<confuse.h>'
    planted 1 broker/decide.c '<jansson.h>'
    planted 1 broker/decide.c '"nowhere.h"'
    rm -rf "$planted"
}

self_test
check_tree "${1:-$(cd "$(dirname "$0")/.." && pwd)}"
echo "$((passed + files - ${#bad[@]})) passed, $((failed + ${#bad[@]})) failed"
[ $((failed + ${#bad[@]})) -eq 0 ]
