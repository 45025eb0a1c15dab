#!/usr/bin/env node
// tests/bench/regression.mjs: what makes a run of the benchmarks fail.
import assert from 'node:assert/strict';
import { missed, regressions } from '../bench/regression.mjs';
import { run } from '../support/sentences.mjs';

const row = {
    id: '1', work: 'puts', against: 'a peer', peer: ['peer'],
    figures: [{ name: 'rate', better: 'higher', must: 0.5 }],
};
const alone = { ...row, peer: undefined };
const result = (ours, peer = [], more = {}) => ({
    ours: ours.map((rate) => ({ rate })),
    peer: peer.map((rate) => ({ rate })),
    cpu: 'one', commit: 'abcdef0', date: '2026-12-01T12:00:00Z', ...more,
});
const five = (v) => Array(5).fill(v);

run({
    a_must_that_no_execution_reaches_is_missed() {
        assert.deepEqual(missed(row, result(five(4), five(10))),
                         ['row 1, puts: 0.4 (0.4-0.4), must be ≥ 0.5']);
    },
    without_a_peer_the_figure_is_said() {
        assert.deepEqual(missed(alone, result(five(0.4))),
                         ['row 1, puts: 0.4 (0.4-0.4), must be ≥ 0.5']);
    },
    a_must_that_is_reached_or_undecided_is_not_missed() {
        assert.deepEqual(missed(row, result(five(6), five(10))), []);
        assert.deepEqual(missed(row, result([4, 4, 4, 4, 6], five(10))), []);
    },
    fewer_executions_than_a_verdict_takes_miss_nothing() {
        assert.deepEqual(missed(row, result([4], [10])), []);
    },
    a_figure_that_is_missing_or_no_number_is_missed() {
        for (const r of [result(five(undefined), five(10)), result(five(0), five(0))])
            assert.deepEqual(missed(row, r), ['row 1, puts: not measured']);
        assert.deepEqual(missed(alone, result([NaN])), ['row 1, puts: not measured (of 1)']);
    },
    a_side_that_was_not_to_be_run_is_not_missed() {
        assert.deepEqual(missed(row, result([4], [])), []);
    },
    a_row_that_was_not_measured_is_missed() {
        assert.deepEqual(missed(row, result(five(6), five(10), { trouble: 'no peer' })),
                         ['row 1: not measured: no peer']);
    },
    a_ratio_that_fell_is_said_with_what_it_is_compared_with() {
        assert.deepEqual(regressions(row, result([5], [10]), result([10, 11], [10, 10])), [{
            text: 'row 1, rate: 2.10 times as bad as at abcdef0 (2026-12-01)',
            behind: undefined,
        }]);
    },
    a_fall_since_another_machine_names_it() {
        const of = (cpu) => regressions(row, result([5], [10]), result([10], [10], { cpu }));

        assert.equal(of('two')[0].behind, 'two');
        assert.equal(of(undefined)[0].behind, 'another machine');
    },
    a_fall_is_more_than_noise_which_is_more_without_the_peer() {
        const of = (now, then, peer) =>
            regressions(row, result([now], peer, { yardstick: 1 }),
                        result([then], peer, { yardstick: 1 })).length;

        assert.equal(of(10, 13, [10]), 1);
        assert.equal(of(10, 12, [10]), 0);
        assert.equal(of(10, 13, []), 0);
        assert.equal(of(10, 15, []), 1);
    },
    nothing_stored_or_not_all_measured_is_no_fall() {
        const some = { trouble: 'the peer has ended' };

        assert.deepEqual(regressions(row, result([5], [10]), undefined), []);
        assert.deepEqual(regressions(row, result([5], [10], some), result([10], [10])), []);
        assert.deepEqual(regressions(row, result([5], [10]), result([10], [10], some)), []);
    },
    our_rate_alone_is_set_beside_how_fast_the_machine_signs() {
        const stored = result([10], [10], { yardstick: 4 });

        // Half the rate on half the machine is none, on the same one it is.
        assert.deepEqual(regressions(row, result([5], [], { yardstick: 2 }), stored), []);
        assert.match(regressions(row, result([5], [], { yardstick: 4 }), stored)[0].text,
                     /^row 1, rate: 2\.00 times/);
    },
    figures_of_their_own_have_no_yardstick() {
        assert.deepEqual(regressions(alone, result([10], [], { yardstick: 8 }),
                                     result([10], [], { yardstick: 2 })), []);
    },
});
