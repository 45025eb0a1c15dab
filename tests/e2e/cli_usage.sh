#!/bin/bash
# What can be said without a broker: help, and each wrong use by its name.
. tests/e2e/cli.bash

ends 0 choir help
like 'the overview names put' $'\n  put  ' "$out"
overview=$out
for name in status doctor put get rm txn ls log watch submit work task tap pipe \
    verify invite join grant revoke backup restore; do
    ends 0 choir help $name
    like "help $name shows its usage" "^choir $name" "$out"
    ends 0 choir $name --help
    like "the overview has $name" $'\n  '"$name " "$overview"
done
ends 0 choir help help
like 'help on help is the overview' 'Exit codes: 0 done' "$out"
ends 0 choir help version
ends 0 choir version
like 'version' '^choir [0-9]+\.[0-9]+\.[0-9]+$' "$out"
ends 0 choir --version

ends 2 choir
ends 2 choir staus
like 'a near command is offered' 'did you mean status' "$err"
ends 2 choir put --if-revison 3 k v
like 'a near option is offered' 'unknown option --if-revison; did you mean --if-revision' "$err"
ends 2 choir put
like 'a missing argument' 'put needs KEY' "$err"
ends 2 choir put '' v
like 'an empty key' 'put needs KEY .*argument 1 is empty' "$err"
ends 2 choir work '' --exec true
choir put endless - </dev/zero 2>"$CHOIR_TMP/err"
is 'input without an end is refused' 2 $?
like 'before memory is full' 'standard input: File too large' "$(<"$CHOIR_TMP/err")"
ends 2 choir put a b c
like 'too many arguments' '"c" is one argument too many' "$err"
ends 2 choir put a b --if-revision x
like 'a number' '--if-revision takes a whole number, not "x"' "$err"
ends 2 choir put a b --if-revision
like 'an option without its value' '--if-revision needs a value' "$err"
ends 2 choir put a b --if-absent=yes
like 'a flag with a value' '--if-absent takes no value' "$err"
ends 2 choir put a b --if-absent --if-revision 3
ends 2 choir put $'k\xff' v
like 'a key that is no UTF-8' 'argument 1 is not UTF-8' "$err"
ends 2 choir put a '{' --type application/msgpack
like 'msgpack is given as JSON' 'is given as JSON, and this is not' "$err"
ends 2 choir submit q x --lease 3w
like 'a time' '--lease takes a time' "$err"
ends 2 choir work q
like 'work needs a command' 'work needs --exec CMD' "$err"
ends 2 choir work q --exec true --jobs 0
ends 2 choir task frob 3
ends 2 choir task show
ends 2 choir task show x
like 'a task is a number' 'TASK is a whole number, not "x"' "$err"
ends 2 choir grant ada fly
like 'the verbs are listed' 'the verbs are read, write' "$err"
ends 2 choir invite --role boss
ends 2 choir verify /nowhere
ends 2 choir txn /nowhere
echo '{"writes": [' >"$CHOIR_TMP/txn"
ends 2 choir txn "$CHOIR_TMP/txn"
like 'JSON errors say where' ':[0-9]+: ' "$err"
ends 2 choir --frob put a b
ends 2 choir put -x a b

# The manual has every command, every option, every setting.
manual=
slurp manual docs/man/choir.1.scd
while read -r name _; do
    [ "$name" = help ] || [ "$name" = version ] && continue
    like "choir(1) has $name" $'\n(\\*[a-z]+\\*, )*\\*'"$name\\*" "$manual"
    while IFS= read -r line; do
        [[ $line =~ ^\ \ (--[a-z-]+) ]] || continue
        option=${BASH_REMATCH[1]}
        [[ $option == --help || $manual == *"*$option"* ]] && ok || bad "choir(1) lacks $option of $name"
    done < <(choir help "$name")
done < <(grep -E '^  [a-z]' <<<"$overview")
slurp manual docs/man/choird.conf.5.scd
while read -r name value; do
    [[ $manual == *"*$name* = _$value"* ]] && ok || bad "choird.conf(5) lacks $name = $value"
done < <(sed -nE 's/^#([a-z_]+) = "?([A-Za-z0-9]*).*/\1 \2/p' broker/choird.conf)

# Nobody there.
ends 1 choir get a
like 'no identity' '^NO_IDENTITY .*choir join' "$err"
ends 1 choir doctor
like 'the doctor shows the rule' 'step=data value=.*/data from=CHOIR_DATA' "$out"
ends 1 choir join nonsense
like 'not an invitation' '^MALFORMED' "$err"
CHOIR_SOCKET=$CHOIR_TMP/none ends 3 choir get a
like 'a worker that is gone' '^UNREACHABLE socket=' "$err"

finish
