// The programs that are compared: where they are, and what they print.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '..', '..');
export const build = join(root, process.env.BUILD ?? 'build');
export const dir = process.env.DIR ?? process.env.TMPDIR ?? os.tmpdir();

const LIMIT_MS = 60 * 60 * 1000; // of one execution
let child = null;

// Where Debian keeps servers that are not on everybody's PATH.
process.env.PATH += ':/usr/sbin:/usr/lib/postgresql/15/bin';

// A contender that is told to end takes its server and files with it.
for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => {
        child?.kill('SIGTERM');
        process.exit(1);
    });

// The same programs, with signatures and encryption taken out from below.
const unsigned = {
    ...process.env,
    LD_PRELOAD: join(build, 'preload/unsigned.so'),
};

function path(name) {
    if (name === 'choir' || name === 'unsigned')
        return join(build, 'tests/bench/choir');
    return join(build, 'tests/bench/peers', name);
}

function parsed(name, text) {
    try {
        return JSON.parse(text);
    } catch {
        throw new Error(`${name} printed no JSON: ${text.slice(0, 80)}`);
    }
}

// "load: PATH: what is wrong" says it to people who know what PATH is.
function complaint(text) {
    return text.trim().split('\n')[0].replace(/^load: [^ ]*: /, '');
}

// What `name args...` prints, or an Error with what it complained of.
export function execute([name, ...args]) {
    return new Promise((resolve, reject) => {
        let out = '', err = '';

        if (!existsSync(path(name)))
            return reject(new Error(`${name} is not built`));
        child = spawn(path(name), args, {
            stdio: ['ignore', 'pipe', 'pipe'],
            env: name === 'unsigned' ? unsigned : process.env,
        });
        const timer = setTimeout(() => child?.kill('SIGTERM'), LIMIT_MS);

        child.stdout.on('data', (text) => (out += text));
        child.stderr.on('data', (text) => (err += text));
        child.on('error', reject);
        child.on('close', (code) => {
            clearTimeout(timer);
            child = null;
            if (code !== 0)
                reject(new Error(complaint(err) || `${name}: status ${code}`));
            else
                try {
                    resolve(parsed(name, out));
                } catch (e) {
                    reject(e);
                }
        });
    });
}

// { choir: { server, client }, ... }, or { missing: why }.
export async function versions(names) {
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
