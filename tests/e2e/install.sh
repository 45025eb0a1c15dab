#!/bin/bash
# What `make install` puts where, and that it works there: the programs, a program
# built against the library, the unit and its configuration, which is the
# administrator's from then on.
. tests/e2e/cli.bash
root=$CHOIR_TMP/root
build=${CHOIR_BUILD:-build}
into() { # make TARGET, of what is built already
    make -s -o all BUILD="$build" DESTDIR="$root" PREFIX=/usr "$@"
}

ends 0 into install
for file in bin/choird bin/choir include/choir.h lib/libchoir.a lib/libchoir.so \
    lib/pkgconfig/choir.pc lib/systemd/system/choird.service \
    share/man/man8/choird.8 share/doc/choir/choird.conf; do
    ends 0 test -e "$root/usr/$file"
done
conf=$root/etc/choir/choird.conf
ends 0 cmp broker/choird.conf "$conf"
unit=$(<"$root/usr/lib/systemd/system/choird.service")
like 'the unit starts what was installed, as the file has it' \
    'ExecStart=/usr/bin/choird -c /etc/choir/choird.conf ' "$unit"
ends 0 "$root/usr/bin/choird" -c "$conf" --data "$CHOIR_DATA" --check-config

echo 'log_level = debug' >"$conf"
ends 0 into install
is 'the configuration is left as it was found' 'log_level = debug' "$(<"$conf")"
ends 0 into install SYSCONFDIR=/usr/local/etc
ends 0 cmp broker/choird.conf "$root/usr/local/etc/choir/choird.conf"
unit=$(<"$root/usr/lib/systemd/system/choird.service")
like 'the unit knows where it is' ' -c /usr/local/etc/choir/choird.conf ' "$unit"

start_broker "$root/usr/bin/choird"
if [ -z "${SAN:-}" ]; then # the archive of a sanitizer wants its runtime
    export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
    # shellcheck disable=SC2046 # flags are words
    ends 0 cc -o "$CHOIR_TMP/counter" agent-sdk/examples/counter.c \
        $(pkg-config --cflags --libs choir)
    ends 0 env LD_LIBRARY_PATH="$root/usr/lib" "$CHOIR_TMP/counter"
fi
ends 0 "$root/usr/bin/choir" put key value
stop_broker

ends 0 into uninstall
is 'what stays is the configuration' \
    "etc/choir/choird.conf usr/local/etc/choir/choird.conf" \
    "$(cd "$root" && find . -type f -o -type l | sed 's|^./||' | sort | xargs)"
finish
