// What the charts have in common: plain SVG, legible on light and dark pages.

export function escape(text) {
    return String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

const STYLE = `
text{font:12px system-ui,sans-serif;fill:#1f2328}
.small{font-size:10.5px;fill:#59636e}
.title{font-size:14px;font-weight:600}
.grid{stroke:#d1d9e0;stroke-width:1}
.line{stroke:#1f2328;stroke-width:1.5}
.good{fill:#2a78d6}.bad{fill:#c2571a}.open{fill:#8b949e}
.a{stroke:#2a78d6;fill:none;stroke-width:2}.b{stroke:#c2571a;fill:none;stroke-width:2}
.c{stroke:#59636e;fill:none;stroke-width:2;stroke-dasharray:4 3}
.range{stroke:#1f2328;stroke-width:1}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.small{fill:#9198a1}.grid{stroke:#3d444d}.line,.range{stroke:#e6edf3}
.good{fill:#4a94ee}.bad{fill:#e0793c}.open{fill:#767f8a}
.a{stroke:#4a94ee}.b{stroke:#e0793c}.c{stroke:#9198a1}}`;

export function svg(width, height, title, parts) {
    return [
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
            `width="${width}" height="${height}" role="img" aria-label="${escape(title)}">`,
        `<style>${STYLE}</style>`,
        ...parts,
        '</svg>',
        '',
    ].join('\n');
}

export function text(x, y, words, { anchor = 'start', kind = '' } = {}) {
    return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"` +
        `${kind ? ` class="${kind}"` : ''}>${escape(words)}</text>`;
}

export function line(x1, y1, x2, y2, kind) {
    return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" ` +
        `y2="${y2.toFixed(1)}" class="${kind}"/>`;
}
