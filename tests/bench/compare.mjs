// Runs the rows of rows.json, ours and the peer's in turn, and says what the
// ratios are, whether they reach what they must, and whether they fell.
//
//   node tests/bench/compare.mjs [--ours]
//
//   --ours        our own alone, once each: quick
//   RUNS=5        executions of each side      SECONDS=3 WARM=1   of each
//   ROWS=1,3,6b   these rows (3 is 3a, 3b, 3c)
//   DIR=PATH      where servers keep their data (TMPDIR or /tmp)
//   BUILD=build   SLOW=0: without the rows that take minutes to prepare
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commit, machine } from './machine.mjs';
import { median, ratios, summary, verdict } from './verdict.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const alone = process.argv.includes('--ours');
const build = join(root, process.env.BUILD ?? 'build');
const dir = process.env.DIR ?? process.env.TMPDIR ?? os.tmpdir();
const runs = Number(process.env.RUNS ?? (alone ? 1 : 5));
const seconds = process.env.SECONDS ?? (alone ? '2' : '3');
const warm = process.env.WARM ?? '1';
const slow = (process.env.SLOW ?? (alone ? '0' : '1')) !== '0';
const LIMIT_MS = 30 * 60 * 1000; // of one execution

// Where Debian keeps servers that are not on everybody's PATH.
process.env.PATH += ':/usr/sbin:/usr/lib/postgresql/15/bin';

// ---- programs --------------------------------------------------------------

let child = null;

for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => {
        child?.kill('SIGTERM');
        process.exit(1);
    });

function program(name) {
    if (name.startsWith('unsigned/'))
        return join(build, 'unsigned/tests/bench', name.slice(9));
    return join(build, 'tests/bench', name === 'choir' ? name : `peers/${name}`);
}

// The JSON that a contender prints, or an Error with what it complained of.
function execute([name, ...args]) {
    return new Promise((resolve, reject) => {
        let out = '', err = '';

        if (!existsSync(program(name)))
            return reject(new Error(`${name} is not built`));
        child = spawn(program(name), args, { stdio: ['ignore', 'pipe', 'pipe'] });
        const timer = setTimeout(() => child.kill('SIGTERM'), LIMIT_MS);

        child.stdout.on('data', (text) => (out += text));
        child.stderr.on('data', (text) => (err += text));
        child.on('error', reject);
        child.on('close', (code) => {
            clearTimeout(timer);
            child = null;
            if (code !== 0)
                return reject(new Error(err.trim().split('\n')[0] || `status ${code}`));
            try {
                resolve(JSON.parse(out));
            } catch {
                reject(new Error(`${name} printed no JSON: ${out.slice(0, 80)}`));
            }
        });
    });
}

function measure(command) {
    return execute([...command, `seconds=${seconds}`, `warm=${warm}`, `dir=${dir}`]);
}

async function versions(names) {
    const found = {};

    for (const name of names) {
        try {
            found[name] = await execute([name, 'version']);
        } catch (e) {
            found[name] = { missing: e.message };
        }
    }
    return found;
}

// ---- figures ---------------------------------------------------------------

function number(v) {
    if (!Number.isFinite(v))
        return '-';
    if (Math.abs(v) >= 1000)
        return Math.round(v).toString().replace(/\B(?=(\d{3})+$)/g, ',');
    return Math.abs(v) >= 100 ? v.toFixed(0) : v.toPrecision(3);
}

function range(values) {
    const s = summary(values);

    return `${number(s.median)} (${number(s.min)}-${number(s.max)})`;
}

// The values that are held against the targets.
function judged(row, figure, result) {
    const ours = result.ours.map((r) => r[figure.name]);

    if (!row.peer)
        return ours;
    const peer = result.peer.map((r) => r[figure.name]);

    return row.invert ? ratios(peer, ours) : ratios(ours, peer);
}

function target(figure, value) {
    if (value === undefined)
        return '';
    return `${figure.better === 'higher' ? '≥' : '≤'} ${number(value)}`;
}

// One line of the table for each figure of a row.
function lines(row, result) {
    return row.figures.map((figure) => {
        const line = {
            row: row.id,
            work: row.figures.length > 1 ? `${row.work}: ${figure.name}` : row.work,
            against: row.against,
            must: target(figure, figure.must),
            stretch: target(figure, figure.stretch),
        };

        if (result.trouble)
            return { ...line, ours: '', peer: '', ratio: '', must_is: 'not measured',
                     stretch_is: result.trouble };
        const values = judged(row, figure, result);

        return {
            ...line,
            ours: range(result.ours.map((r) => r[figure.name])),
            peer: row.peer ? range(result.peer.map((r) => r[figure.name])) : '',
            ratio: row.peer ? range(values) : '',
            must_is: verdict(values, figure.must, figure.better),
            stretch_is: verdict(values, figure.stretch, figure.better),
        };
    });
}

// What was in flight, in a bundle, synced: as the contenders report it.
function circumstances(row, result) {
    const of = (list, name) => list?.map((r) => r[name]).filter((v) => v !== undefined);
    const said = [];

    for (const [who, list] of [['ours', result.ours], ['peer', result.peer]]) {
        if (!list?.length)
            continue;
        const first = list[0], words = [];

        if (first.clients !== undefined)
            words.push(`${first.clients} x ${first.depth} in flight`);
        else if (first.depth !== undefined)
            words.push(`${first.depth} in flight`);
        for (const [name, text] of [['ops_per_bundle', 'operations a bundle'],
                                    ['bundles_per_sync', 'bundles a sync'],
                                    ['client_cpu_s', 's client CPU'],
                                    ['server_cpu_s', 's server CPU']]) {
            const values = of(list, name);

            if (values.length)
                words.push(`${number(median(values))} ${text}`);
        }
        if (first.synced !== undefined)
            words.push(first.synced ? 'synced' : 'NOT synced');
        said.push(`${who}: ${words.join(', ')}`);
    }
    return said;
}

// ---- a row -----------------------------------------------------------------

function show(row, i, result) {
    for (const figure of row.figures) {
        const ours = result.ours[i][figure.name];
        let text = `   run ${i + 1}  ${figure.name}  ours ${number(ours)}`;

        if (result.peer.length)
            text += `  peer ${number(result.peer[i][figure.name])}` +
                `  ratio ${number(judged(row, figure, result)[i])}`;
        console.log(text);
    }
}

async function run(row) {
    const result = { ours: [], peer: [], commit: commit(), date: new Date().toISOString() };
    const peer = alone && row.peer?.[0] !== 'choir' ? null : row.peer;
    const times = row.slow && !process.env.RUNS ? Math.min(runs, row.runs ?? 5) : runs;

    console.log(`\n${row.id}  ${row.work}   against ${row.against}`);
    try {
        for (let i = 0; i < times; i++) {
            result.ours.push(await measure(row.ours));
            if (peer)
                result.peer.push(await measure(peer));
            show(row, i, result);
        }
    } catch (e) {
        result.trouble = e.message;
        console.log(`   not measured: ${e.message}`);
        return result;
    }
    for (const text of [...circumstances(row, result), ...row.notes])
        console.log(`   ${text}`);
    if (!row.peer || peer)
        for (const line of lines(row, result))
            console.log(`   ${line.work}: ${line.ratio || line.ours}   must ${line.must}: ` +
                `${line.must_is}   stretch ${line.stretch}: ${line.stretch_is}`);
    return result;
}

// ---- the whole -------------------------------------------------------------

function table(all) {
    const columns = ['row', 'work', 'against', 'ours', 'peer', 'ratio', 'must', 'must_is',
                     'stretch', 'stretch_is'];
    const head = { row: '#', work: 'work', against: 'against', ours: 'ours', peer: 'peer',
                   ratio: 'ratio', must: 'must', must_is: 'verdict', stretch: 'stretch',
                   stretch_is: 'verdict' };
    const width = (c) => Math.max(...[head, ...all].map((l) => l[c].length));
    const text = (l) => `| ${columns.map((c) => l[c].padEnd(width(c))).join(' | ')} |`;

    console.log(`\n${text(head)}`);
    console.log(`|${columns.map((c) => '-'.repeat(width(c) + 2)).join('|')}|`);
    for (const line of all)
        console.log(text(line));
}

function wanted(row) {
    const names = process.env.ROWS?.split(',');

    if (names)
        return names.some((n) => n === row.id || n === row.id.replace(/[a-z]$/, ''));
    return !row.slow || slow;
}

const facts = machine(dir);
const rows = JSON.parse(readFileSync(join(here, 'rows.json'), 'utf8')).filter(wanted);
const names = [...new Set(rows.flatMap((r) => [r.ours[0], ...(alone || !r.peer ? [] : [r.peer[0]])]))];
const now = { machine: facts, versions: await versions(names), rows: {} };

console.log(`${facts.cpu}, ${facts.cores} cores, ${facts.memory_gib} GiB, Linux ` +
    `${facts.kernel}, ${facts.filesystem}, ${facts.system}, cc ${facts.compiler}`);
for (const [name, v] of Object.entries(now.versions))
    console.log(`${name}: ${v.missing ?? `${v.server}; client: ${v.client}`}`);
console.log(`commit ${commit()}, ${new Date().toISOString().slice(0, 10)}; ` +
    `${runs} executions of each side, ${seconds} s each after ${warm} s`);
for (const row of rows)
    now.rows[row.id] = await run(row);
table(rows.flatMap((row) => lines(row, now.rows[row.id])));
