#!/usr/bin/env node
// tests/bench/report.mjs: what the table of the benchmarks says.
import assert from 'node:assert/strict';
import { circumstances, commits, effort, elsewhere, figures, joined, judged, lines, number, range,
         table } from '../bench/report.mjs';
import { run } from '../support/sentences.mjs';

const row = {
    id: '1', work: 'puts', against: 'a peer', peer: ['peer'],
    figures: [{ name: 'rate', better: 'higher', must: 0.5, stretch: 1 }],
};
const result = (ours, peer) => ({
    ours: ours.map((rate) => ({ rate })),
    peer: peer.map((rate) => ({ rate })),
});

run({
    numbers_have_three_digits_or_thousands() {
        assert.equal(number(1234567), '1,234,567');
        assert.equal(number(0.12345), '0.123');
        assert.equal(number(123.4), '123');
        assert.equal(number(0), '0');
        assert.equal(number(NaN), '-');
    },
    a_range_has_all_that_was_measured() {
        assert.equal(range([3, 1, 2]), '2 (1-3)');
        assert.equal(range([2]), '2');
        assert.equal(range([]), '');
    },
    figures_may_be_lists_of_one_execution() {
        assert.deepEqual(figures([{ a: [1, 2] }, { a: 3 }, { b: 4 }], 'a'), [1, 2, 3]);
    },
    slices_are_one_execution_with_their_mean_and_their_sums() {
        assert.deepEqual(joined([
            { rate: 10, seconds: 1, server_cpu_s: 0.5, synced: true, clients: 50 },
            { rate: 30, seconds: 1, server_cpu_s: 0.7, synced: true, clients: 50 },
        ]), { rate: 20, seconds: 2, server_cpu_s: 1.2, synced: true, clients: 50, slices: 2 });
        assert.deepEqual(joined([{ rate: 10, list: [1, 2] }]), { rate: 10, list: [1, 2] });
        assert.equal(joined([]), undefined);
    },
    with_a_peer_ratios_are_judged() {
        assert.deepEqual(judged(row, 'rate', result([1, 4], [2, 2])), [0.5, 2]);
    },
    an_inverted_row_says_how_many_times_the_peer_is_ours() {
        assert.deepEqual(judged({ ...row, invert: true }, 'rate', result([1, 4], [2, 2])),
                         [2, 0.5]);
    },
    without_a_peer_the_figures_are_judged() {
        assert.deepEqual(judged({ ...row, peer: undefined }, 'rate', result([1, 4], [])),
                         [1, 4]);
    },
    a_side_that_is_missing_is_not_judged() {
        assert.deepEqual(judged(row, 'rate', result([1, 4], [2])), []);
    },
    a_line_has_both_verdicts() {
        const [l] = lines(row, result([6, 8, 7, 7, 7], [10, 10, 10, 10, 10]));

        assert.equal(l.ratio, '0.7 (0.6-0.8)');
        assert.equal(l.must_is, 'reached');
        assert.equal(l.stretch_is, 'not reached');
    },
    a_verdict_of_fewer_than_five_says_of_how_many() {
        const [l] = lines(row, result([6, 8, 7, 7], [10, 10, 10, 10]));

        assert.equal(l.must_is, 'reached (of 4)');
        assert.equal(l.stretch_is, 'not reached (of 4)');
    },
    a_figure_without_a_target_has_no_verdict() {
        const free = { ...row, figures: [{ name: 'rate', better: 'higher' }] };
        const [l] = lines(free, result([6], [10]));

        assert.deepEqual([l.ratio, l.must, l.must_is, l.stretch, l.stretch_is],
                         ['0.6', '', '', '', '']);
    },
    a_line_of_ours_alone_has_none() {
        const [l] = lines(row, result([6], []));

        assert.deepEqual([l.ours, l.peer, l.ratio, l.must_is, l.stretch_is],
                         ['6', '', '', '', '']);
    },
    trouble_is_said_instead_of_a_verdict() {
        const [l] = lines(row, { ...result([6], []), trouble: 'redis is not built' });

        assert.equal(l.must_is, 'not measured: redis is not built');
        assert.equal(l.stretch_is, '');
    },
    what_was_in_flight_and_synced_is_said() {
        const run = { clients: 50, depth: 64, ops_per_bundle: 60, synced: false };

        assert.deepEqual(circumstances({ ours: [run], peer: [] }),
                         ['ours: 50 × 64 in flight, 60 operations a bundle, NOT synced']);
    },
    how_it_was_measured_is_what_the_executions_say() {
        const timed = (n, seconds, warm) => ({
            ours: Array(n).fill({ rate: 1, seconds }), peer: Array(n).fill({ rate: 1, seconds }),
            warm,
        });
        const listed = { ours: [{ keys: 10, cost: [1, 2, 3, 4], before: [1, 2, 3, 4, 5] }],
                         peer: [] };

        assert.equal(effort([timed(5, 2.0012, 1), timed(5, 2, 1)]),
                     '5 executions of each side, 2 s each after 1 s of warming up');
        assert.equal(effort([timed(5, 2), timed(3, 3.001, 1), listed]),
                     '3 to 5 executions of each side, 2 to 3 s each after 1 s of warming up');
        assert.equal(effort([{ ours: [{ seconds: 3, slices: 3 }], peer: [], warm: 1 },
                             { ours: [{ seconds: 3 }], peer: [] }]),
                     '1 executions of each side, 3 s each in 1 to 3 slices after 1 s of ' +
                     'warming up');
        assert.equal(effort([listed]), '4 executions of each side');
        assert.equal(effort([{ ...listed, trouble: 'etcd is not built' }]), '');
    },
    rows_of_several_runs_each_have_their_commit() {
        const at = (commit, minute) => ({ commit, date: `2026-11-29T12:${minute}:00Z` });

        assert.equal(commits({ 1: at('a', 10), 2: at('a', 11) }), 'a');
        assert.equal(commits({ '10a': at('a', 10), 2: at('a', 11), 5: at('b', 20) }),
                     'b (5), a (2, 10a)');
    },
    the_table_is_markdown_with_a_line_for_each_figure() {
        const text = table(lines(row, result([6, 8], [10, 10]))).split('\n');

        assert.equal(text.length, 3);
        assert.match(text[1], /^\|[-|]+\|$/);
        assert.equal(new Set(text.map((t) => t.length)).size, 1);
    },
    rows_of_other_processors_are_named() {
        const rows = { 10: { cpu: 'b' }, 2: { cpu: 'b' }, 3: { cpu: 'a' }, 4: {} };

        assert.deepEqual(elsewhere(rows, 'a'), ['of b: 2, 10', 'of another machine: 4']);
        assert.deepEqual(elsewhere({ 3: rows[3] }, 'a'), []);
    },
});
