// The rows as bars: how far each figure is from what it must reach. Right of
// the line is better than it must be, whatever the figure's direction is.
import { judged, number } from './report.mjs';
import { line, svg, text } from './svg.mjs';
import { ENOUGH, median, verdict } from './verdict.mjs';

const WIDTH = 980, LEFT = 490, RIGHT = 164, TOP = 64, STEP = 29, BAR = 12;
const LEAST = 0.2, MOST = 10; // of what it must reach; the axis is logarithmic

function x(score) {
    const part = Math.log(Math.min(MOST, Math.max(LEAST, score)) / LEAST) /
        Math.log(MOST / LEAST);

    return LEFT + part * (WIDTH - LEFT - RIGHT);
}

function bar(row, figure, values, y) {
    const score = (v) => (figure.better === 'higher' ? v / figure.must : figure.must / v);
    const scores = values.map(score).sort((a, b) => a - b);
    const is = values.length < ENOUGH ? 'undecided'
        : verdict(values, figure.must, figure.better);
    const kind = { reached: 'good', undecided: 'open', 'not reached': 'bad' }[is];
    const [from, to] = [1, median(scores)].map(x).sort((a, b) => a - b);
    const middle = y + BAR / 2;
    const parts = [
        text(8, y + 5, `${row.id}\u2002${row.work}`),
        text(8, y + 18, `${figure.label ? `${figure.label}, ` : ''}against ${row.against}`,
             { kind: 'small' }),
        `<rect x="${from.toFixed(1)}" y="${y}" width="${Math.max(1, to - from).toFixed(1)}" ` +
            `height="${BAR}" class="${kind}"/>`,
        line(x(scores[0]), middle, x(scores.at(-1)), middle, 'range'),
        text(WIDTH - RIGHT + 8, y + 10,
             `${number(median(values))} (must ${figure.better === 'higher' ? '≥' : '≤'} ` +
                 `${number(figure.must)})`, { kind: 'small' }),
    ];

    if (figure.stretch !== undefined)
        parts.push(line(x(score(figure.stretch)), y - 2, x(score(figure.stretch)), y + BAR + 2,
                        'range'));
    return parts;
}

export function chart(rows, results) {
    const bars = rows.flatMap((row) => row.figures.map((figure) => ({
        row, figure, values: judged(row, figure.name, results[row.id]),
    }))).filter(({ figure, values }) => figure.must !== undefined && values.length &&
        values.every(Number.isFinite));
    const height = TOP + bars.length * STEP + 16;
    const title = 'Choir beside its peers';
    const parts = [
        text(8, 20, title, { kind: 'title' }),
        text(8, 37, 'Bars: from what each must reach (the line) to its median; right is better.' +
            ' Thin: all executions. Tick: the stretch.', { kind: 'small' }),
    ];

    for (const at of [0.2, 0.5, 1, 2, 5, 10]) {
        parts.push(line(x(at), TOP - 8, x(at), height - 12, at === 1 ? 'line' : 'grid'));
        parts.push(text(x(at), TOP - 12, at === 1 ? 'must' : `× ${at}`,
                        { anchor: 'middle', kind: 'small' }));
    }
    bars.forEach(({ row, figure, values }, i) =>
        parts.push(...bar(row, figure, values, TOP + i * STEP)));
    return svg(WIDTH, height, title, parts);
}
