// How the cost of a put grows with what the broker holds: a broker for each
// point, prepared in process, loaded by ten clients with 64 in flight each.
//
//   node tests/bench/growth.mjs      (RUNS=3 SECONDS=2 WARM=1 DIR BUILD)
//   ONLY=keys,value                  these plots; MOST=1000000: no larger points
//
// Writes docs/bench/growth.json and growth.svg.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dir, execute, root } from './contenders.mjs';
import { commit, machine } from './machine.mjs';
import { number } from './report.mjs';
import { line, svg, text } from './svg.mjs';
import { median } from './verdict.mjs';

const PLOTS = [
    { name: 'keys', title: 'keys', values: [1e4, 1e5, 1e6, 1e7], args: (n) => [`keys=${n}`] },
    { name: 'agents', title: 'agents that are connected', values: [10, 100, 1000, 10000],
      args: (n) => [`agents=${n}`] },
    { name: 'watches', title: 'watches of other keys, 100 agents', values: [100, 1000, 1e4, 1e5],
      args: (n) => ['agents=110', `watches=${n}`] },
    { name: 'leases', title: 'leases, 100 agents', values: [100, 1000, 1e4, 1e5],
      args: (n) => ['agents=110', `leases=${n}`] },
    { name: 'value', title: 'bytes in a value', values: [64, 256, 1024, 4096, 16384],
      args: (n) => [`value=${n}`] },
];
const LINES = [
    { name: 'put_us', kind: 'a', title: 'a put, all in all' },
    { name: 'server_us', kind: 'b', title: 'processor time of the broker' },
    { name: 'client_us', kind: 'c', title: 'processor time of the clients' },
];

async function point(plot, n) {
    const run = await execute(['choir', 'point', ...plot.args(n), `dir=${dir}`,
                               `rounds=${process.env.RUNS ?? 3}`,
                               `seconds=${process.env.SECONDS ?? 2}`,
                               `warm=${process.env.WARM ?? 1}`]);
    const at = {
        n,
        rate: run.rate,
        put_us: run.rate.map((r) => 1e6 / r),
        server_us: run.server_us,
        client_us: run.client_us,
    };

    console.log(`${plot.name} ${number(n)}: ${number(median(at.rate))} /s, ` +
        LINES.map((l) => `${l.title} ${number(median(at[l.name]))} µs`).join(', '));
    return at;
}

async function measure(plot) {
    const points = [];

    for (const n of plot.values)
        if (n <= Number(process.env.MOST ?? Infinity))
            points.push(await point(plot, n));
    return points;
}

// ---- the plots -------------------------------------------------------------

const WIDTH = 270, HEIGHT = 210, LEFT = 42, RIGHT = 14, TOP = 30, BOTTOM = 34, ACROSS = 3;

function short(n) {
    if (n >= 1e6)
        return `${n / 1e6} M`;
    return n >= 1000 && n % 1000 === 0 ? `${n / 1000} k` : String(n);
}

function nice(most) {
    const power = 10 ** Math.floor(Math.log10(most));

    return [1, 2, 5, 10].map((f) => f * power).find((v) => v >= most);
}

function panel(plot, points, left, top) {
    const most = nice(Math.max(...points.flatMap((p) => LINES.map((l) => median(p[l.name])))));
    const [low, high] = [Math.log(points[0].n), Math.log(points.at(-1).n)];
    const x = (n) => left + LEFT +
        (high > low ? (Math.log(n) - low) / (high - low) : 0.5) * (WIDTH - LEFT - RIGHT);
    const y = (v) => top + HEIGHT - BOTTOM - (v / most) * (HEIGHT - TOP - BOTTOM);
    const parts = [text(left + LEFT, top + 18, plot.title)];

    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
        parts.push(line(left + LEFT, y(part * most), left + WIDTH - RIGHT, y(part * most),
                        'grid'));
        parts.push(text(left + LEFT - 6, y(part * most) + 4, number(part * most),
                        { anchor: 'end', kind: 'small' }));
    }
    for (const p of points)
        parts.push(text(x(p.n), top + HEIGHT - BOTTOM + 16, short(p.n),
                        { anchor: 'middle', kind: 'small' }));
    for (const l of LINES) {
        const at = points.map((p) => `${x(p.n).toFixed(1)},${y(median(p[l.name])).toFixed(1)}`);

        parts.push(`<polyline points="${at.join(' ')}" class="${l.kind}"/>`);
        for (const p of points) // a lone point is no line
            parts.push(`<circle cx="${x(p.n).toFixed(1)}" ` +
                `cy="${y(median(p[l.name])).toFixed(1)}" r="2" class="${l.kind}"/>`);
    }
    return parts;
}

function drawing(plots) {
    const rows = Math.ceil(plots.length / ACROSS);
    const height = 60 + rows * HEIGHT;
    const parts = [text(8, 20, 'What a durable put costs, in µs', { kind: 'title' })];

    LINES.forEach((l, i) => {
        parts.push(line(8 + i * 250, 38, 32 + i * 250, 38, l.kind));
        parts.push(text(38 + i * 250, 42, l.title, { kind: 'small' }));
    });
    plots.forEach(({ plot, points }, i) =>
        parts.push(...panel(plot, points, (i % ACROSS) * WIDTH,
                            54 + Math.floor(i / ACROSS) * HEIGHT)));
    return svg(ACROSS * WIDTH, height, 'What a durable put costs', parts);
}

// ---- the whole -------------------------------------------------------------

const store = join(root, 'docs/bench');
const file = join(store, 'growth.json');
const only = process.env.ONLY?.split(',');
const results = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { plots: {} };

results.machine = machine(dir);
for (const plot of PLOTS)
    if (!only || only.includes(plot.name))
        results.plots[plot.name] = {
            commit: commit(), date: new Date().toISOString(), points: await measure(plot),
        };
mkdirSync(store, { recursive: true });
writeFileSync(file, JSON.stringify(results, null, 1) + '\n');
writeFileSync(join(store, 'growth.svg'),
    drawing(PLOTS.filter((p) => results.plots[p.name]?.points.length)
        .map((plot) => ({ plot, points: results.plots[plot.name].points }))));
console.log(`${file}\n${join(store, 'growth.svg')}`);
