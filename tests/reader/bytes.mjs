// A cursor over bytes that never reads beyond its end, and how refusals are
// thrown.

export class Refusal extends Error {
  constructor(code, why, field) {
    super(`${code}: ${why}`);
    this.code = code;
    this.field = field;
  }
}

export const malformed = (why) => {
  throw new Refusal('MALFORMED', why);
};

export class Cursor {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  get left() {
    return this.bytes.length - this.at;
  }
  take(n) {
    if (n > this.left) malformed(`needs ${n} bytes, has ${this.left}`);
    this.at += Number(n);
    return this.bytes.subarray(this.at - Number(n), this.at);
  }
  u8() {
    return this.take(1)[0];
  }
  u32() {
    return this.take(4).readUInt32LE();
  }
  u64() {
    return this.take(8).readBigUInt64LE();
  }
  // A u64 that is an index, size, time or length.
  number() {
    const v = this.u64();
    if (v > BigInt(Number.MAX_SAFE_INTEGER)) malformed(`${v} is above 2^53-1`);
    return Number(v);
  }
  end(what) {
    if (this.left) malformed(`${this.left} bytes behind ${what}`);
  }
}

export const u32 = (v) => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(v);
  return b;
};

export const u64 = (v) => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt(v));
  return b;
};

export const fromHex = (text) => Buffer.from(text, 'hex');

// Each byte is as the one before it, and the first is 0.
export const isZero = (bytes) => !bytes.length || (bytes[0] === 0 && bytes.subarray(1).equals(bytes.subarray(0, -1)));
