// Runs the rows of rows.json, ours and the peer's in turn, and says what the
// ratios are, whether they reach what they must, and whether they fell.
//
//   node tests/bench/compare.mjs [--ours]
//
//   --ours        our own alone, once each: quick
//   RUNS=5        executions of each side      SECONDS=3   measured in each,
//   SLICES=3      in so many slices that take turns with the peer's, each after
//   WARM=1        seconds of warming up
//   ROWS=1,3,6b   these rows (3 is 3a to 3d)
//   DIR=PATH      where servers keep their data (TMPDIR or /tmp)
//   BUILD=build   SLOW=0: without the rows that take minutes to prepare
//
// The stored results are docs/bench/results-FILESYSTEM.{json,md} and a chart
// beside them. Without --ours they are renewed, row by measured row; with it they are
// only what is compared with. Exit 1: a row was not measured, missed its must in
// every one of five executions, or fell since it was stored on this kind of machine.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chart } from './chart.mjs';
import { dir, execute, here, root, versions } from './contenders.mjs';
import { commit, machine } from './machine.mjs';
import { missed, regressions } from './regression.mjs';
import { circumstances, commits, effort, elsewhere, figures, joined, judged, lines, number, range,
         table } from './report.mjs';
import { median } from './verdict.mjs';

const alone = process.argv.includes('--ours');
const runs = Number(process.env.RUNS ?? (alone ? 1 : 5));
const seconds = process.env.SECONDS ?? (alone ? '2' : '3');
const warm = process.env.WARM ?? '1';
const slices = Number(process.env.SLICES ?? (alone ? 1 : 3));
const slow = (process.env.SLOW ?? (alone ? '0' : '1')) !== '0';
const ours = ['choir', 'unsigned'];

function wanted(row) {
    const names = process.env.ROWS?.split(',');

    if (names)
        return names.some((n) => n === row.id || n === row.id.replace(/[a-z]$/, ''));
    return !row.slow || slow;
}

const measured = new Map();

async function measure(command, parts) {
    const key = [parts, ...command].join(' ');

    if (alone && runs === 1 && measured.has(key))
        return measured.get(key);
    const args = [`seconds=${seconds / parts}`, `warm=${warm}`, `dir=${dir}`];

    if (command.includes('rounds='))
        args.push(`rounds=${runs}`);
    const run = await execute([...command.filter((a) => a !== 'rounds='), ...args]);

    measured.set(key, run);
    return run;
}

// ---- one row ---------------------------------------------------------------

// One of each side. A machine whose host is slow for seconds at a time is so for
// slices of both.
async function execution(row, peer) {
    const parts = peer ? slices : 1;
    const ours = [], theirs = [];

    for (let i = 0; i < parts; i++) {
        ours.push(await measure(row.ours, parts));
        if (peer)
            theirs.push(await measure(peer, parts));
    }
    return [ours, theirs].map(joined);
}

function show(row, i, result) {
    for (const { name, label } of row.figures) {
        const words = [`ours ${range(figures([result.ours[i]], name))}`];

        if (result.peer.length > i) {
            words.push(`peer ${range(figures([result.peer[i]], name))}`);
            words.push(`ratio ${number(judged(row, name, result)[i])}`);
        }
        console.log(`   run ${i + 1}  ${label ?? name}: ${words.join('  ')}`);
    }
}

async function run(row, yardstick) {
    const result = { ours: [], peer: [], yardstick, cpu: facts.cpu, commit: commit(),
                     warm: Number(warm), date: new Date().toISOString() };
    const peer = alone && !ours.includes(row.peer?.[0]) ? undefined : row.peer;
    const times = row.ours.includes('rounds=') ? 1 : runs;

    console.log(`\n${row.id}  ${row.work}, against ${row.against}`);
    try {
        for (let i = 0; i < times; i++) {
            const [one, other] = await execution(row, peer);

            result.ours.push(one);
            if (peer)
                result.peer.push(other);
            show(row, i, result);
        }
    } catch (e) {
        result.trouble = e.message;
        console.log(`   not measured: ${e.message}`);
        return result;
    }
    for (const text of [...circumstances(result), ...row.notes])
        console.log(`   ${text}`);
    for (const l of lines(row, result))
        if (l.must_is || l.ratio)
            console.log(`   ${l.ratio ? `ratio ${l.ratio}` : l.ours}` +
                (l.must ? `   must ${l.must}: ${l.must_is}` : '') +
                (l.stretch ? `   stretch ${l.stretch}: ${l.stretch_is}` : ''));
    return result;
}

// ---- the whole -------------------------------------------------------------

function heading(facts, found, of, how) {
    const said = [
        `${facts.cpu}, ${facts.cores} cores, ${facts.memory_gib} GiB, Linux ${facts.kernel}, ` +
            `${facts.filesystem}, ${facts.system}, cc ${facts.compiler}`,
    ];

    for (const [name, v] of Object.entries(found))
        said.push(v.missing ? `${name}: ${v.missing}` : `${name}: ${v.server}; ${v.client}`);
    said.push(`commit ${of}, ${new Date().toISOString().slice(0, 10)}; ${how}`);
    return said;
}

// The crypto work's rate: what stands for the machine.
async function yardstick() {
    const rates = [];

    for (let i = 0; i < 3; i++)
        rates.push((await execute(['choir', 'crypto', 'seconds=0.5', 'warm=0.1'])).rate);
    return median(rates);
}

function store(file, all, stored) {
    const known = all.filter((row) => stored.rows[row.id]);
    const said = [
        ...heading(stored.machine, stored.versions, commits(stored.rows),
                   effort(known.map((row) => stored.rows[row.id]))),
        ...elsewhere(stored.rows, stored.machine.cpu),
    ];
    const text = table(known.flatMap((row) => lines(row, stored.rows[row.id])));
    const remarks = known.map((row) => [
        `**${row.id}** ${row.work}, against ${row.against}: `,
        [...circumstances(stored.rows[row.id]), ...row.notes].join('; '),
    ].join(''));

    mkdirSync(join(root, 'docs/bench'), { recursive: true });
    writeFileSync(`${file}.json`, JSON.stringify(stored, null, 1) + '\n');
    writeFileSync(`${file}.md`, [
        '# Results of `make bench-peers`', said.map((s) => `- ${s}`).join('\n'),
        'Medians, with the range of all executions. A verdict needs all of them on one side of' +
            ' the target.',
        text, remarks.map((r) => `- ${r}`).join('\n'),
    ].join('\n\n') + '\n');
    const name = stored.machine.filesystem === 'tmpfs' ? 'chart-tmpfs.svg' : 'chart.svg';

    writeFileSync(join(root, 'docs/bench', name), chart(known, stored.rows));
}

const all = JSON.parse(readFileSync(join(here, 'rows.json'), 'utf8'));
const rows = all.filter(wanted);
const facts = machine(dir);
const file = join(root, 'docs/bench', `results-${facts.filesystem}`);
const before = existsSync(`${file}.json`)
    ? JSON.parse(readFileSync(`${file}.json`, 'utf8')) : { rows: {} };
const names = new Set(rows.flatMap((r) => [r.ours[0], ...(alone || !r.peer ? [] : [r.peer[0]])]));
const found = await versions(names);

console.log(heading(facts, found, commit(),
                    `RUNS=${runs} SECONDS=${seconds} SLICES=${slices} WARM=${warm}`).join('\n'));
const stick = await yardstick();
const now = {};
const short = [], fallen = [];

for (const row of rows) {
    now[row.id] = await run(row, stick);
    short.push(...missed(row, now[row.id]));
    fallen.push(...regressions(row, now[row.id], before.rows[row.id]));
}
console.log(`\n${table(rows.flatMap((row) => lines(row, now[row.id])))}\n`);
if (!alone) {
    const whole = Object.entries(now).filter(([id, row]) => !row.trouble || !before.rows[id]);

    store(file, all, {
        machine: facts,
        versions: { ...before.versions, ...found },
        rows: { ...before.rows, ...Object.fromEntries(whole) },
    });
}
for (const text of short)
    console.log(`MISSED: ${text}`);
for (const { text, behind } of fallen)
    console.log(behind ? `Behind ${behind}: ${text}` : `FELL: ${text}`);
if (Object.keys(before.rows).length && !fallen.length)
    console.log('Nothing fell by more than noise since the results that are stored.');
process.exitCode = short.length || fallen.some(({ behind }) => !behind) ? 1 : 0;
