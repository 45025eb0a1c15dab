#!/bin/bash
# Proves tests/run: feeds it false tests of every kind and checks its sums.
# shellcheck disable=SC2016 # what is quoted is for the false tests
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

mkdir -p "$dir"/tests/{unit,e2e,slow,fuzz/corpus/dots} "$dir"/build/{replay,tests/unit}

fake() { # path, body
    mkdir -p "$(dirname "$dir/$1")"
    printf '#!/bin/sh\n%s\n' "$2" >"$dir/$1"
    chmod +x "$dir/$1"
}

# Runs only the tests named and compares the end of what is said, and the exit.
expect() { # sentence, expected last line, expected exit status, names...
    local sentence=$1 line=$2 status=$3 got rc
    shift 3
    got=$(CHOIR_ROOT=$dir BUILD=build SLOW='' TIMEOUT=1 "$here/run" "$@" 2>&1)
    rc=$?
    if [ "$(tail -n1 <<<"$got")" = "$line" ] && [ $rc -eq "$status" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n  wanted: %s, exit %d; got exit %d and\n%s\n' \
            "$sentence" "$line" "$status" $rc "$got"
    fi
}

fake tests/e2e/pass.sh 'echo "3 passed, 0 failed"'
fake tests/e2e/fail.sh 'echo "2 passed, 1 failed"; exit 1'
fake tests/e2e/liar.sh 'echo "2 passed, 1 failed"'
fake tests/e2e/late.sh 'echo "4 passed, 0 failed"; exit 3'
fake tests/e2e/crash.sh 'echo "1 passed, 0 failed"; kill -SEGV $$'
fake tests/e2e/silent.sh 'true'
fake tests/e2e/hang.sh 'echo "5 passed, 0 failed" # test-timeout: 20
sleep 8'
fake tests/e2e/prose.sh 'echo "say 9 passed, 0 failed ok"; echo "1 passed, 0 failed"'
fake tests/e2e/twice.sh 'echo "7 passed, 0 failed"; echo "1 passed, 0 failed"'
fake tests/e2e/dots.slow.sh 'echo "1 passed, 0 failed"'
fake tests/e2e/litter.sh 'sleep 97.31 & echo "1 passed, 0 failed"'
fake tests/e2e/own.sh '[ -d "$CHOIR_TMP" ] && [ "$TMPDIR" = "$CHOIR_TMP" ] &&
    : >"$CHOIR_TMP/x" && echo "1 passed, 0 failed"'
fake tests/e2e/patient.sh '# test-timeout: 20
sleep 1.5; echo "1 passed, 0 failed"'
fake tests/e2e/tardy.sh 'sleep 0.2; echo "1 passed, 0 failed"'
fake tests/slow/long.sh 'echo "1 passed, 0 failed"'
echo 'not a test' >"$dir/tests/e2e/helper.py"
: >"$dir/tests/unit/good.c"
: >"$dir/tests/unit/bad.c"
: >"$dir/tests/unit/gone.c"
: >"$dir/tests/fuzz/dots.c"
fake build/tests/unit/good 'echo "[==========] 2 test(s) run." >&2
echo "[  PASSED  ] 2 test(s)." >&2'
fake build/tests/unit/bad 'cat >&2 <<X
[  FAILED  ] stack_refuses_pop
[==========] 3 test(s) run.
[  PASSED  ] 2 test(s).
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] stack_refuses_pop

 1 FAILED TEST(S)
X
exit 1'
fake build/replay/dots 'echo "$# passed, 0 failed"'

expect 'a passing test counts its cases' '3 passed, 0 failed' 0 e2e/pass.sh
expect 'a failing test counts both' '2 passed, 1 failed' 1 e2e/fail.sh
expect 'failures are believed over exit 0' '2 passed, 1 failed' 1 e2e/liar.sh
expect 'a bad exit without failures is one' '4 passed, 1 failed' 1 e2e/late.sh
expect 'a crash is a failure' '1 passed, 1 failed' 1 e2e/crash.sh
expect 'silence is a failure' '0 passed, 1 failed' 1 e2e/silent.sh
expect 'a hang is a failure, whatever stands behind its words' '5 passed, 1 failed' 1 e2e/hang.sh
expect 'prose is no summary' '1 passed, 0 failed' 0 e2e/prose.sh
expect 'the last summary counts' '1 passed, 0 failed' 0 e2e/twice.sh
expect 'a test has its own directory' '1 passed, 0 failed' 0 e2e/own.sh
expect 'a test may ask for more time' '1 passed, 0 failed' 0 e2e/patient.sh
expect 'cmocka successes are read' '2 passed, 0 failed' 0 unit/good
expect 'cmocka failures are read' '2 passed, 1 failed' 1 unit/bad
expect 'a program not built is a failure' '0 passed, 1 failed' 1 unit/gone
expect 'a fuzz target is given its corpus' '1 passed, 0 failed' 0 replay/dots
expect 'sums go over languages' '7 passed, 1 failed' 1 \
    e2e/pass.sh unit/good unit/bad
expect 'a kind runs all of its kind' '4 passed, 2 failed' 1 unit
expect 'slow tests wait to be asked' '0 passed, 0 failed' 0 slow
expect 'a slow test runs when named' '1 passed, 0 failed' 0 slow/long.sh
expect 'an unknown name is an error' \
    "tests/run: no test is called e2e/none; see tests/run --list" 2 e2e/none
expect 'litter does not fail a test' '1 passed, 0 failed' 0 e2e/litter.sh

check() { # sentence, status
    if [ "$2" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $1"
    fi
}
! pgrep -f 'sleep 97\.31' >/dev/null
check 'what a test leaves running is killed' $?
names=$(CHOIR_ROOT=$dir BUILD=build SLOW='' "$here/run" --list)
! grep -qE 'helper|slow' <<<"$names"
check 'helpers and slow tests are not listed' $?
names=$(CHOIR_ROOT=$dir BUILD=build SLOW=1 "$here/run" --list)
[ "$(grep -c slow <<<"$names")" -eq 2 ]
check 'SLOW=1 lists slow tests' $?
[ -z "$(ls -d "$dir"/choir.* 2>/dev/null)" ]
check 'temporary directories are removed' $?

# each has been run, but not in the last run
for name in tardy pass own; do
    CHOIR_ROOT=$dir BUILD=build "$here/run" e2e/$name.sh >/dev/null
done
[[ $(JOBS=1 CHOIR_ROOT=$dir BUILD=build "$here/run" e2e/pass.sh e2e/tardy.sh) == *tardy*pass.sh* ]]
check 'the longest begins, whatever was run last' $?

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
