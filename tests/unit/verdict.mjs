#!/usr/bin/env node
// tests/bench/verdict.mjs: a benchmark must not say more than it has seen.
import assert from 'node:assert/strict';
import { median, summary, ratios, verdict, fell } from '../bench/verdict.mjs';
import { run } from '../support/sentences.mjs';

run({
    median_of_odd_even_and_nothing() {
        assert.equal(median([3, 1, 2]), 2);
        assert.equal(median([4, 1, 3, 2]), 2.5);
        assert.ok(Number.isNaN(median([])));
    },
    median_leaves_its_argument_as_it_is() {
        const v = [3, 1, 2];

        median(v);
        assert.deepEqual(v, [3, 1, 2]);
    },
    summary_has_the_whole_range() {
        assert.deepEqual(summary([5, 1, 2]), { median: 2, min: 1, max: 5 });
    },
    ratios_are_of_pairs_not_of_medians() {
        assert.deepEqual(ratios([2, 30, 4], [1, 10, 8]), [2, 3, 0.5]);
        assert.throws(() => ratios([1], []));
    },
    higher_is_reached_when_every_run_reaches_it() {
        assert.equal(verdict([0.65, 0.7, 0.9], 0.65, 'higher'), 'reached');
    },
    higher_is_undecided_when_one_run_misses_it() {
        assert.equal(verdict([0.64, 0.7, 0.9], 0.65, 'higher'), 'undecided');
    },
    higher_is_undecided_when_one_run_alone_reaches_it() {
        assert.equal(verdict([0.1, 0.2, 0.65], 0.65, 'higher'), 'undecided');
    },
    higher_is_not_reached_when_no_run_reaches_it() {
        assert.equal(verdict([0.1, 0.2, 0.64], 0.65, 'higher'), 'not reached');
    },
    lower_is_the_mirror_of_higher() {
        assert.equal(verdict([1.5, 1.2], 1.5, 'lower'), 'reached');
        assert.equal(verdict([1.6, 1.2], 1.5, 'lower'), 'undecided');
        assert.equal(verdict([1.6, 1.7], 1.5, 'lower'), 'not reached');
    },
    no_runs_and_no_numbers_are_no_verdict() {
        assert.equal(verdict([], 1, 'higher'), 'not measured');
        assert.equal(verdict([NaN, 2], 1, 'higher'), 'not measured');
        assert.equal(verdict([Infinity], 1, 'higher'), 'not measured');
    },
    a_row_without_a_target_has_no_verdict() {
        assert.equal(verdict([1], undefined, 'higher'), '');
    },
    a_fall_beyond_noise_and_beyond_the_range_is_said() {
        assert.equal(fell([0.5], [1, 1.1, 0.9], 'higher'), 2);
        assert.equal(fell([2], [1, 1.1, 0.9], 'lower'), 2);
    },
    a_fall_within_noise_is_not_said() {
        assert.equal(fell([0.85], [1, 1.01, 0.99], 'higher'), 0);
    },
    a_fall_within_the_range_seen_before_is_not_said() {
        assert.equal(fell([0.6], [0.5, 1, 1.2], 'higher'), 0);
    },
    a_rise_is_not_a_fall() {
        assert.equal(fell([3], [1, 1.1], 'higher'), 0);
        assert.equal(fell([0.3], [1, 1.1], 'lower'), 0);
    },
    nothing_to_compare_with_is_no_fall() {
        assert.equal(fell([1], [], 'higher'), 0);
    },
});
