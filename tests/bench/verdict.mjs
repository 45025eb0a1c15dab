// What several runs say: medians, ranges, and whether a target is reached.
// Pure functions; tests/unit/verdict.mjs holds them to what is said here.

// So many executions a verdict takes; of fewer, it is said how many.
export const ENOUGH = 5;

export function median(values) {
    const v = [...values].sort((a, b) => a - b);
    const middle = v.length >> 1;

    if (v.length === 0)
        return NaN;
    return v.length % 2 ? v[middle] : (v[middle - 1] + v[middle]) / 2;
}

export function summary(values) {
    return {
        median: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
    };
}

// One ratio for each pair of neighbouring runs, so that a machine that slows
// down meanwhile slows both sides of it.
export function ratios(ours, peer) {
    if (ours.length !== peer.length)
        throw new Error(`${ours.length} runs of ours, ${peer.length} of the peer`);
    return ours.map((value, i) => value / peer[i]);
}

// "reached" only if every run says so, "not reached" if none does; a range
// that crosses the target is no verdict. better: "higher" or "lower".
export function verdict(values, target, better) {
    const meets = (v) => (better === 'higher' ? v >= target : v <= target);

    if (target === undefined || target === null)
        return '';
    if (values.length === 0 || values.some((v) => !Number.isFinite(v)))
        return 'not measured';
    if (values.every(meets))
        return 'reached';
    return values.some(meets) ? 'undecided' : 'not reached';
}

// How much worse `now` is than `then` (both arrays of runs): the factor by
// which the median fell, 0 unless it fell by more than noise: by more than
// `tolerance`, and beyond everything that was seen then.
export function fell(now, then, better, tolerance = 0.25) {
    if (now.length === 0 || then.length === 0)
        return 0;
    const [a, b] = [summary(now), summary(then)];
    const factor = better === 'higher' ? b.median / a.median : a.median / b.median;
    const beyond = better === 'higher' ? a.median < b.min : a.median > b.max;

    return beyond && factor > 1 + tolerance ? factor : 0;
}
