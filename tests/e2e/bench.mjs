#!/usr/bin/env node
// What measures does what it says, in small, so that it is not found broken on
// the day it is needed. What is measured here is nothing.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { run as run_all } from '../support/sentences.mjs';

const bench = `${process.env.CHOIR_BUILD}/tests/bench`;
const program = `${bench}/choir`;
const dir = process.env.CHOIR_TMP;

process.env.ASAN_OPTIONS = 'detect_leaks=0'; // it ends with what it has

function run(work, ...args) {
    return JSON.parse(execFileSync(program, [work, `dir=${dir}`, ...args],
                                   { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
}

// Long enough for one to be finished, under a sanitizer and beside other work.
const seconds = process.env.SAN ? 1 : 0.2;
const measured = (work, ...args) => run(work, `seconds=${seconds}`, 'warm=0.1', ...args);

run_all({
    puts_go_many_to_a_bundle() {
        const r = measured('put', 'clients=2', 'depth=32', 'keys=100');

        assert.ok(r.rate > 0 && r.p50_us > 0);
        assert.ok(r.ops_per_bundle > 1 && r.disk_bytes_per_entry > 256);
    },
    gets_find_every_key_of_the_record() {
        assert.ok(measured('get', 'clients=2', 'depth=8', 'keys=2000').rate > 0);
    },
    tasks_go_round_one_at_a_time_and_pipelined() {
        assert.ok(measured('task', 'depth=1').p50_us > 0);
        assert.ok(measured('task', 'depth=16').rate > 0);
    },
    changes_reach_one_watcher_and_many() {
        assert.ok(measured('watch').p50_us > 0);
        assert.ok(measured('fanout', 'watchers=10', 'processes=2').rate > 0);
        assert.ok(measured('fanout', 'watchers=10', 'processes=2', 'handles=2').rate > 0);
    },
    a_record_that_was_written_in_process_is_replayed() {
        const r = run('restart', 'entries=5000', 'keys=1000', 'tail=500', 'rounds=2');

        for (const name of ['replay_rate', 'clean_s', 'ready_s'])
            assert.equal(r[name].filter((v) => v > 0).length, 2);
    },
    bundles_of_one_are_replayed_too() {
        assert.ok(run('restart', 'entries=500', 'keys=10', 'tail=10', 'bundle=1',
                      'rounds=1').replay_rate[0] > 0);
    },
    the_record_is_larger_than_its_payload() {
        assert.ok(run('disk', 'entries=2000').ratio > 1);
    },
    a_crowd_watches_works_and_stays() {
        const r = measured('point', 'keys=100', 'agents=30', 'watches=50', 'leases=25');

        assert.ok(r.rate[0] > 0 && r.server_us[0] > 0);
    },
    what_measures_in_process_runs_to_its_end() {
        const small = {
            cycle: ['10', 'tasks'], index: ['1000'], puts: ['1000', '2'],
            replica: ['1', '1000'], sdk: ['500'], state: ['1000'],
            story: ['5000', '60000', '5'], verify: ['10'],
        };
        const others = ['choir', 'peers'];

        assert.deepEqual(Object.keys(small).sort(),
                         readdirSync(bench).filter((n) => !others.includes(n)).sort());
        for (const [name, args] of Object.entries(small))
            assert.notEqual(execFileSync(`${bench}/${name}`, args, { encoding: 'utf8' }), '');
    },
    what_is_unknown_is_refused() {
        for (const args of [['nothing'], ['put', 'colour=red'], ['put', 'clients=0'], []]) {
            const r = spawnSync(program, args, { encoding: 'utf8' });

            assert.equal(r.status, 1);
            assert.match(r.stderr, /^load: /);
        }
    },
    nothing_is_left_behind() {
        assert.deepEqual(readdirSync(dir).filter((n) => n.startsWith('choir-bench-')), []);
    },
});
