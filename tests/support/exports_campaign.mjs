// Makes the forgeries of exports, judges each with the second reader and hands
// it on: what tests/e2e/exports_campaign.c reads and judges with the first.
//
//   node exports_campaign.mjs DIR SEED COUNT >stream
//
// Pinned are the broker's key and the agents that exported or said what is in the
// exports (DIR/agents), neither mallory, who is enrolled like them, nor eve, who
// was revoked: what one of the trusted exports of true entries is no forgery.
// DIR is for the scene. The stream: the broker's key (32), u32 n, n agents to
// trust (32 each), u32 n, how many exports come before the forgeries of them;
// each is u32 bytes, those bytes, u32 the record this reader stops at (2^32-1:
// none), u32 bytes, those bytes as a text that says what it is.
import { readFileSync, writeSync } from 'node:fs';
import { checkExport, trustedAgents } from '../reader/export.mjs';
import { u32 } from '../reader/bytes.mjs';
import { rememberSignatures } from '../reader/trust.mjs';
import { anotherLedger, exporterAttacks, operatorAttacks } from './exports_attacks.mjs';
import { everyByte, flipsOf, mutants } from './exports_mutants.mjs';
import { contextOf, exportsOf, makeScene, stopScene } from './exports_scene.mjs';

const ACCEPTED = 2 ** 32 - 1;
const [tmp, seed, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

const scene = await makeScene(tmp);
const bases = exportsOf(scene, tmp);
await stopScene(scene);
const ctx = { ...contextOf(scene, tmp), bases };
const pinned = ctx.broker.publicKey;
const trusted = trustedAgents(readFileSync(`${tmp}/agents`, 'utf8'));

function tell(bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

// The record that is wrong; of what is wrong outside of records, 0.
function verdict(bytes) {
  try {
    checkExport(bytes, pinned, trusted);
    return ACCEPTED;
  } catch (error) {
    if (!error.code || error.code.startsWith('ERR_')) throw error;
    return error.record;
  }
}

function hand(what, bytes) {
  const text = Buffer.from(what);
  tell(Buffer.concat([u32(bytes.length), bytes, u32(verdict(bytes)), u32(text.length), text]));
}

rememberSignatures();
tell(Buffer.concat([pinned, u32(trusted.size), ...[...trusted].map((id) => Buffer.from(id, 'hex')), u32(ctx.bases.length)]));
for (const { name, bytes } of ctx.bases) hand(name, bytes);
// Those that were thought of; each byte of some files, as many as there is room
// for; and whatever comes.
const random = mutants(ctx, seed);
const known = [...exporterAttacks(ctx, ctx.bases[0].bytes), ...operatorAttacks(ctx), { what: 'another ledger', bytes: anotherLedger(ctx) }];
const flips = flipsOf(ctx.bases, count / 4);
for (let i = 0; i < count; i++) {
  const n = i - known.length;
  const { what, bytes } = n < 0 ? known[i] : n < flips.length ? everyByte(...flips[n], seed) : random(i);
  hand(`${i}: ${what}`, bytes);
}
