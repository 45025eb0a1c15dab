#!/bin/sh
# What Choir needs from the system, in one place. Checks by looking for the
# thing itself, so it is right on any system; installs only on Debian's kind.
# Says nothing when all is there.
#
#   tools/deps.sh            build, test and demo
#   tools/deps.sh fuzz       also clang, for `make fuzz` and `make fmt`
#   tools/deps.sh bench-peers   also what `make bench-peers` compares with
#   CHOIR_DEPS=check         report, never install; CHOIR_DEPS=skip: do nothing
set -u

[ "${CHOIR_DEPS:-}" = skip ] && exit 0

# package            how to see that it is there
needs='build-essential     command cc
build-essential     command make
pkg-config          command pkg-config
libzmq3-dev         library libzmq
libczmq-dev         library libczmq
MSGPACK             library msgpack-c msgpack
libsodium-dev       library libsodium
nettle-dev          library nettle
libjansson-dev      library jansson
libconfuse-dev      library libconfuse
libcmocka-dev       library cmocka
uthash-dev          header uthash.h
libbsd-dev          header bsd/sys/tree.h
scdoc               command scdoc
nodejs              command node
python3             command python3
golang-go           command go
golang-golang-x-mod-dev  gosource golang.org/x/mod/sumdb/tlog
git                 command git
procps              command pgrep'
[ "${1:-}" = fuzz ] && needs="$needs
clang               command clang
libclang-rt-dev     libfuzzer x
clang-format        command clang-format"
if [ "${1:-}" = bench-peers ]; then # Debian keeps these off people's PATH
    PATH=$PATH:/usr/sbin:/usr/lib/postgresql/15/bin
    needs="$needs
redis-server        command redis-server
libhiredis-dev      library hiredis
nats-server         command nats-server
libnats-dev         library libnats
etcd-server         command etcd
libnghttp2-dev      library libnghttp2
postgresql          command initdb
libpq-dev           library libpq"
fi

is_there() # kind name [other name]
{
    case $1 in
    command) command -v "$2" ;;
    library) pkg-config --exists "$2" || pkg-config --exists "${3:-$2}" ;;
    header) echo "#include <$2>" | cc -E - ;;
    gosource) test -d "/usr/share/gocode/src/$2" ;;
    libfuzzer)
        echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n)
            { (void)d; (void)n; return 0; }' |
            clang -fsanitize=fuzzer,address -x c - -o /dev/null
        ;;
    esac >/dev/null 2>&1
}

look() # sets $missing to the packages that are not there
{
    missing=
    while read -r package probe; do
        # shellcheck disable=SC2086 # a probe is several words
        is_there $probe && continue
        case " $missing " in *" $package "*) continue ;; esac
        missing="$missing $package"
    done <<LIST
$needs
LIST
    missing=${missing# }
}

look
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "Choir needs these, by their Debian names:"
    echo "    $missing" | sed s/MSGPACK/libmsgpack-c-dev/
    echo "This is not a Debian system: install them with your package" \
        "manager, then run make again."
    exit 1
fi

# Debian 12 says libmsgpack-dev, newer releases libmsgpack-c-dev; which of the
# two exists is known only once the package lists are.
msgpack=libmsgpack-dev
# shellcheck source=/dev/null
debian=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}")
if apt-cache show libmsgpack-c-dev >/dev/null 2>&1; then
    msgpack=libmsgpack-c-dev
elif ! apt-cache show libmsgpack-dev >/dev/null 2>&1; then
    case $debian in # no lists yet: go by the release
    "debian 12" | "debian 11" | "ubuntu 22"* | "ubuntu 20"*) ;;
    *) msgpack=libmsgpack-c-dev ;;
    esac
fi
missing=$(echo "$missing" | sed "s/MSGPACK/$msgpack/")

as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo '
update="${as_root}apt-get update"
install="${as_root}apt-get install -y --no-install-recommends $missing"
echo "Choir needs packages that are not installed:"
echo "    $update"
echo "    $install"
[ "${CHOIR_DEPS:-}" = check ] && exit 1

give_up()
{
    echo "That did not work. $1"
    echo "Have the two commands above run by someone who may, then make again."
    exit 1
}

[ -z "$as_root" ] || command -v sudo >/dev/null ||
    give_up "Installing needs root, and there is no sudo here."
export DEBIAN_FRONTEND=noninteractive
# A stale list may still do; the installation is what counts.
$update -q >/dev/null || echo "(the package lists could not be refreshed)"
# shellcheck disable=SC2086 # several words on purpose
$install -q >/dev/null || give_up "apt-get said why, above."

look
[ -z "$missing" ] || give_up "Installed, but still not found: $missing."
echo "Installed."
