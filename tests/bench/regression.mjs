// What a run has to answer for: rows that miss what they must, rows that are worse
// than when they were stored. Pure functions; tests/unit/regression.mjs.
import { figures, judged, lines } from './report.mjs';
import { fell } from './verdict.mjs';

// In words, for each figure that was not measured or that none of enough executions
// brought to its must. A range that crosses the must is no verdict.
export function missed(row, result) {
    if (result.trouble)
        return [`row ${row.id}: not measured: ${result.trouble}`];
    return lines(row, result)
        .filter(({ must_is: is }) => is === 'not reached' || is.startsWith('not measured'))
        .map((l) => `row ${row.id}, ${l.work}: ` + (l.must_is === 'not reached'
            ? `${l.ratio || l.ours}, must be ${l.must}` : l.must_is));
}

// Values that two runs may be compared by. Machines differ: a ratio whose peer was
// not run becomes our figure beside how fast the machine signed and verified.
function comparable(row, { name, better }, result) {
    const values = judged(row, name, result);

    if (values.length || !result.yardstick)
        return values;
    return figures(result.ours, name).map((v) =>
        better === 'higher' ? v / result.yardstick : v * result.yardstick);
}

// What fell since `before`: [{ text, behind }]. behind is the other machine's
// processor, if it was another: peers, too, gain and lose by what a machine is like,
// so such a fall is to be seen, and is no failure. Rows that have no peer at all,
// as 13's seconds and 14's bytes, are compared by their figures.
export function regressions(row, now, before) {
    if (!before || now.trouble || before.trouble)
        return [];
    const both = now.peer.length && before.peer.length
        ? [now, before] : [now, before].map((r) => (row.peer ? { ...r, peer: [] } : r));

    return row.figures.flatMap((figure) => {
        const [a, b] = both.map((r) => comparable(row, figure, r));
        const factor = fell(a, b, figure.better, both[0].peer.length ? 0.25 : 0.4);

        return factor ? [{
            text: `row ${row.id}, ${figure.label ?? figure.name}: ${factor.toFixed(2)} times ` +
                `as bad as at ${before.commit} (${before.date.slice(0, 10)})`,
            behind: before.cpu === now.cpu ? undefined : before.cpu ?? 'another machine',
        }] : [];
    });
}
