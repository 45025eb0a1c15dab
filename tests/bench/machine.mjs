// What was measured, and on what.
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import os from 'node:os';

function said(program, args) {
    try {
        return execFileSync(program, args, {
            encoding: 'utf8',
            stdio: ['ignore', 'pipe', 'ignore'],
        }).trim();
    } catch {
        return '';
    }
}

// The type of the filesystem that holds a directory.
export function filesystem(dir) {
    const path = realpathSync(dir) + '/';
    let best = ['', 'unknown'];

    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
        const [, mount, type] = line.split(' ');

        if (mount === undefined || mount.length < best[0].length)
            continue;
        if (path.startsWith(mount.endsWith('/') ? mount : mount + '/'))
            best = [mount, type];
    }
    return best[1];
}

// Guests say "AMD EPYC" of several generations, which family and model tell apart.
function processor() {
    const of = (name) => readFileSync('/proc/cpuinfo', 'utf8')
        .match(new RegExp(`^${name}\\s*: (.+)$`, 'm'))?.[1];
    const [name, family, model] = ['model name', 'cpu family', 'model'].map(of);

    return (name ?? os.cpus()[0]?.model ?? 'unknown') +
        (family && model ? ` (family ${family}, model ${model})` : '');
}

export function machine(dir) {
    return {
        cpu: processor(),
        cores: os.cpus().length,
        memory_gib: Math.round(os.totalmem() / 2 ** 30),
        kernel: os.release(),
        filesystem: filesystem(dir),
        system: said('sh', ['-c', '. /etc/os-release; echo "$PRETTY_NAME"']),
        compiler: said('cc', ['-dumpfullversion']),
    };
}

// With a + if something is not committed; stored results are no part of what runs.
export function commit() {
    const changed = said('git', ['status', '--porcelain', '-uno', '--', ':/',
                                  ':(top,exclude)docs/bench']);

    return said('git', ['rev-parse', '--short', 'HEAD']) + (changed ? '+' : '');
}
