// Results in words: numbers with ranges, the lines of the table, what was in
// flight. A result is { ours: [run, ...], peer: [run, ...], trouble }, a run
// what a contender printed; its figures are numbers, or lists of them when it
// prepared once and measured several times.
import { ENOUGH, median, ratios, summary, verdict } from './verdict.mjs';

export function number(v) {
    if (!Number.isFinite(v))
        return '-';
    if (Math.abs(v) >= 1000)
        return Math.round(v).toString().replace(/\B(?=(\d{3})+$)/g, ',');
    if (v === 0 || Math.abs(v) >= 100)
        return v.toFixed(0);
    return Number(v.toPrecision(3)).toString();
}

export function range(values) {
    const s = summary(values);

    if (values.length === 0)
        return '';
    if (values.length === 1)
        return number(s.median);
    return `${number(s.median)} (${number(s.min)}-${number(s.max)})`;
}

export function figures(list, name) {
    return (list ?? []).flatMap((run) => run[name] ?? []);
}

// Sums over an execution's slices; of everything else the mean is taken.
const SUMMED = ['seconds', 'operations', 'client_cpu_s', 'server_cpu_s'];

// An execution that was measured in slices, or undefined for none.
export function joined(parts) {
    const one = { ...parts[0], ...(parts.length > 1 ? { slices: parts.length } : {}) };

    for (const [name, value] of Object.entries(parts[0] ?? {})) {
        if (typeof value !== 'number')
            continue;
        const sum = parts.reduce((a, p) => a + p[name], 0);

        one[name] = SUMMED.includes(name) ? sum : sum / parts.length;
    }
    return parts.length ? one : undefined;
}

// The values that are held against the targets: ratios of pairs, or, where
// there is no peer, the figures themselves. None if one side is missing.
export function judged(row, name, result) {
    const ours = figures(result.ours, name), peer = figures(result.peer, name);

    if (!row.peer)
        return ours;
    if (ours.length !== peer.length)
        return [];
    return row.invert ? ratios(peer, ours) : ratios(ours, peer);
}

function target(better, value) {
    return value === undefined ? '' : `${better === 'higher' ? '≥' : '≤'} ${number(value)}`;
}

function judgement(values, target, better) {
    const is = verdict(values, target, better), n = values.length;

    return is && n && n < ENOUGH ? `${is} (of ${n})` : is;
}

// For each figure of a row one line of the table.
export function lines(row, result) {
    return row.figures.map(({ name, label, better, must, stretch }) => {
        const values = judged(row, name, result);
        const alone = row.peer && !result.peer.length; // ours was to be seen only
        const why = result.trouble ? `not measured: ${result.trouble}` : alone ? '' : undefined;

        return {
            row: row.id,
            work: label ? `${row.work}: ${label}` : row.work,
            against: row.against,
            ours: range(figures(result.ours, name)),
            peer: row.peer ? range(figures(result.peer, name)) : '',
            ratio: row.peer ? range(values) : '',
            must: target(better, must),
            must_is: why ?? judgement(values, must, better),
            stretch: target(better, stretch),
            stretch_is: why !== undefined ? '' : judgement(values, stretch, better),
        };
    });
}

const COLUMNS = {
    row: '#', work: 'work', against: 'against', ours: 'ours', peer: 'peer', ratio: 'ratio',
    must: 'must', must_is: '', stretch: 'stretch', stretch_is: '',
};

// In Markdown, and aligned.
export function table(all) {
    const names = Object.keys(COLUMNS);
    const width = (c) => Math.max(3, ...[COLUMNS, ...all].map((l) => l[c].length));
    const text = (l) => `| ${names.map((c) => l[c].padEnd(width(c))).join(' | ')} |`;

    return [
        text(COLUMNS),
        `|${names.map((c) => '-'.repeat(width(c) + 2)).join('|')}|`,
        ...all.map(text),
    ].join('\n');
}

const SAID = [
    ['ops_per_bundle', 'operations a bundle'],
    ['bundles_per_sync', 'bundles a sync'],
    ['client_cpu_s', 's of client CPU'],
    ['server_cpu_s', 's of server CPU'],
    ['hash_us', 'µs a hash look-up'],
];

// What was in flight, how much went together, whether it was synced.
export function circumstances(result) {
    const one = (who, list) => {
        const { clients, depth, synced } = list[0];
        const words = [];

        if (clients !== undefined && depth !== undefined)
            words.push(`${clients} × ${depth} in flight`);
        else if (depth !== undefined)
            words.push(`${depth} in flight`);
        for (const [name, text] of SAID)
            if (figures(list, name).length)
                words.push(`${number(median(figures(list, name)))} ${text}`);
        if (synced !== undefined)
            words.push(synced ? 'synced' : 'NOT synced');
        return words.length ? [`${who}: ${words.join(', ')}`] : [];
    };

    return [
        ...(result.ours.length ? one('ours', result.ours) : []),
        ...(result.peer.length ? one('peer', result.peer) : []),
    ];
}

// ---- how it was measured ---------------------------------------------------

function span(numbers) {
    const { min, max } = summary(numbers);

    return min === max ? `${number(min)}` : `${number(min)} to ${number(max)}`;
}

// How often each side was executed: once, or, when it printed lists, as often as
// the shortest has it; what is measured before and after has one more.
function executions({ ours }) {
    const times = (run) => Object.values(run).filter(Array.isArray).map((v) => v.length);

    return ours.reduce((n, run) => n + (times(run).length ? Math.min(...times(run)) : 1), 0);
}

// Of all results together, by what they say themselves; they may come from
// several runs: "5 executions of each side, 2 to 3 s each in 1 to 3 slices after
// 1 s of warming up". Those that say no time take as long as there is to do.
export function effort(results) {
    const done = results.filter((r) => !r.trouble);
    const seconds = done.flatMap((r) => figures([...r.ours, ...r.peer], 'seconds'))
        .map((s) => Math.round(s * 10) / 10);
    const warm = done.flatMap((r) => r.warm ?? []);
    const slices = done.flatMap((r) => r.ours.map((run) => run.slices ?? 1));

    return [
        ...(done.length ? [`${span(done.map(executions))} executions of each side`] : []),
        ...(seconds.length ? [`${span(seconds)} s each` +
            (Math.max(...slices) > 1 ? ` in ${span(slices)} slices` : '') +
            (warm.length ? ` after ${span(warm)} s of warming up` : '')] : []),
    ].join(', ');
}

const ORDER = new Intl.Collator('en', { numeric: true }).compare;

// Of rows: "098d423 (3a, 5), ee94efa (1, 2)", the newest first.
export function commits(rows) {
    const of = new Map();

    for (const [id, { commit, date }] of Object.entries(rows)) {
        const c = of.get(commit) ?? { ids: [], date };

        c.ids.push(id);
        of.set(commit, c);
    }
    if (of.size === 1)
        return [...of.keys()][0];
    return [...of].sort((a, b) => (a[1].date < b[1].date ? 1 : -1))
        .map(([name, c]) => `${name} (${c.ids.sort(ORDER).join(', ')})`).join(', ');
}

// Of rows that were measured on other processors than this one, a line each.
export function elsewhere(rows, cpu) {
    const of = new Map();

    for (const [id, row] of Object.entries(rows))
        if (row.cpu !== cpu)
            of.set(row.cpu, [...of.get(row.cpu) ?? [], id]);
    return [...of].map(([name, ids]) =>
        `of ${name ?? 'another machine'}: ${ids.sort(ORDER).join(', ')}`);
}
