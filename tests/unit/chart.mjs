#!/usr/bin/env node
// tests/bench/chart.mjs: the table as a picture.
import assert from 'node:assert/strict';
import { chart } from '../bench/chart.mjs';
import { run } from '../support/sentences.mjs';

const row = {
    id: '7', work: 'cycles', against: 'a peer', peer: ['peer'],
    figures: [{ name: 'rate', label: 'the median', better: 'higher', must: 0.5, stretch: 1 }],
};
const of = (ours, peer, changed = {}) => chart([{ ...row, ...changed }], { 7: {
    ours: ours.map((rate) => ({ rate })),
    peer: peer.map((rate) => ({ rate })),
} });
const five = (v) => Array(5).fill(v);
// [x, width, what kind of bar] of the only one, or undefined.
const BAR = /<rect x="([0-9.]+)" y="\d+" width="([0-9.]+)" .*class="(\w+)"/;
const bar = (picture) => {
    const [, from, width, kind] = picture.match(BAR) ?? [];

    return kind && [Number(from), Number(width), kind];
};
// Where the line is that stands for the must.
const must = (picture) => Number(picture.match(/<text x="([0-9.]+)"[^>]*>must</)[1]);

run({
    a_bar_says_what_was_measured_against_what() {
        const picture = of(five(8), five(10));

        for (const words of ['7\u2002cycles', 'the median, against a peer', '0.8 (must ≥ 0.5)'])
            assert.ok(picture.includes(words), words);
    },
    better_than_it_must_be_is_right_of_the_line() {
        const higher = of(five(8), five(10));
        const lower = of(five(2), five(10),
                         { figures: [{ ...row.figures[0], better: 'lower' }] });

        for (const picture of [higher, lower]) {
            const [from, , kind] = bar(picture);

            assert.equal(kind, 'good');
            assert.ok(Math.abs(from - must(picture)) < 0.1);
        }
    },
    worse_is_left_of_it() {
        const picture = of(five(2), five(10));
        const [from, width, kind] = bar(picture);

        assert.equal(kind, 'bad');
        assert.ok(Math.abs(from + width - must(picture)) < 0.2);
    },
    a_range_that_crosses_it_or_too_few_executions_are_open() {
        assert.equal(bar(of([4, 4, 6, 6, 6], five(10)))[2], 'open');
        assert.equal(bar(of([8], [10]))[2], 'open');
    },
    what_was_not_measured_or_has_no_must_has_no_bar() {
        assert.equal(bar(of([], [])), undefined);
        assert.equal(bar(of([NaN], [10])), undefined);
        assert.equal(bar(of(five(8), five(10),
                            { figures: [{ name: 'rate', better: 'higher' }] })), undefined);
    },
});
