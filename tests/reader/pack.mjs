// The strict msgpack of proto/README.md, "Encoding".
import { malformed } from './bytes.mjs';

const NESTED = 15;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function bigEndian(c, bytes) {
  let v = 0n;
  for (const b of c.take(bytes)) v = (v << 8n) | BigInt(b);
  return v;
}

function shortest(c, bytes, least) {
  const v = bigEndian(c, bytes);
  if (v < BigInt(least)) malformed('not the shortest form');
  return v;
}

function negative(c, bytes, highest) {
  const v = BigInt.asIntN(8 * bytes, bigEndian(c, bytes));
  if (v > BigInt(highest)) malformed('not the shortest form');
  return v;
}

function counted(c, kind, n) {
  const least = kind === 'map' ? 2 : 1;
  if (BigInt(n) * BigInt(least) > BigInt(c.left)) malformed('count larger than the bytes left');
  return { kind, n: Number(n) };
}

const raw = (c, kind, n) => ({ kind, bytes: c.take(Number(n)) });

function ext(c, n) {
  c.u8();
  return raw(c, 'ext', n);
}

function extLong(c, bytes, least) {
  const n = shortest(c, bytes, least);
  if ([1n, 2n, 4n, 8n, 16n].includes(n)) malformed('not the shortest form');
  return ext(c, n);
}

// The next item's head; elements of arrays and maps are items of their own.
export function next(c) {
  const t = c.u8();
  if (t <= 0x7f) return { kind: 'uint', v: BigInt(t) };
  if (t >= 0xe0) return { kind: 'int', v: BigInt(t) - 256n };
  if (t <= 0x8f) return counted(c, 'map', t & 15);
  if (t <= 0x9f) return counted(c, 'array', t & 15);
  if (t <= 0xbf) return raw(c, 'text', t & 31);
  switch (t) {
    case 0xc0: return { kind: 'nil' };
    case 0xc2: return { kind: 'bool', v: false };
    case 0xc3: return { kind: 'bool', v: true };
    case 0xc4: return raw(c, 'bytes', shortest(c, 1, 0));
    case 0xc5: return raw(c, 'bytes', shortest(c, 2, 0x100));
    case 0xc6: return raw(c, 'bytes', shortest(c, 4, 0x10000));
    case 0xc7: return extLong(c, 1, 0);
    case 0xc8: return extLong(c, 2, 0x100);
    case 0xc9: return extLong(c, 4, 0x10000);
    case 0xca: return { kind: 'float', v: c.take(4).readFloatBE() };
    case 0xcb: return { kind: 'float', v: c.take(8).readDoubleBE() };
    case 0xcc: return { kind: 'uint', v: shortest(c, 1, 0x80) };
    case 0xcd: return { kind: 'uint', v: shortest(c, 2, 0x100) };
    case 0xce: return { kind: 'uint', v: shortest(c, 4, 0x10000) };
    case 0xcf: return { kind: 'uint', v: shortest(c, 8, 0x100000000) };
    case 0xd0: return { kind: 'int', v: negative(c, 1, -33) };
    case 0xd1: return { kind: 'int', v: negative(c, 2, -129) };
    case 0xd2: return { kind: 'int', v: negative(c, 4, -32769) };
    case 0xd3: return { kind: 'int', v: negative(c, 8, -2147483649) };
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
      return ext(c, 1 << (t - 0xd4));
    case 0xd9: return raw(c, 'text', shortest(c, 1, 32));
    case 0xda: return raw(c, 'text', shortest(c, 2, 0x100));
    case 0xdb: return raw(c, 'text', shortest(c, 4, 0x10000));
    case 0xdc: return counted(c, 'array', shortest(c, 2, 16));
    case 0xdd: return counted(c, 'array', shortest(c, 4, 0x10000));
    case 0xde: return counted(c, 'map', shortest(c, 2, 16));
    case 0xdf: return counted(c, 'map', shortest(c, 4, 0x10000));
    default: return malformed('0xc1');
  }
}

// Pass over one whole item.
export function skip(c, depth = 0) {
  const item = next(c);
  if (item.kind !== 'array' && item.kind !== 'map') return;
  if (depth === NESTED) malformed('nested too deep');
  for (let n = item.kind === 'map' ? 2 * item.n : item.n; n > 0; n--) skip(c, depth + 1);
}

export function text(item, most) {
  if (item.kind !== 'text' || item.bytes.length > most || item.bytes.includes(0)) malformed('not text');
  try {
    return utf8.decode(item.bytes);
  } catch {
    return malformed('not UTF-8');
  }
}
