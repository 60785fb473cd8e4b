/**
 * The two AEADs of packet protection, AES-128-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439), in place on packets,
 * and the choice among the libraries that have them. The nonce is the IV XOR the packet number, the header is associated
 * data (RFC 9001, section 5.3).
 *
 * An implementation counts only after it has given known answers and refused forged ones, so that a library that is missing,
 * too old or broken costs speed and nothing else.
 */
import type { Opener, Sealer } from "../transport/link/aead.ts";
import { nodeAead } from "./aead-node.ts";
import { loadOpensslAead } from "./aead-openssl.ts";
import { loadSodiumAead } from "./aead-sodium.ts";
import { AEAD_VECTORS } from "./aead-vectors.ts";

export type AeadName = "aes-128-gcm" | "chacha20-poly1305";

export const AEAD_NAMES: readonly AeadName[] = ["aes-128-gcm", "chacha20-poly1305"];

/** Bytes of a key. */
export const AEAD_KEY_BYTES: Record<AeadName, number> = { "aes-128-gcm": 16, "chacha20-poly1305": 32 };
/** Bytes of an IV. */
export const AEAD_IV_BYTES = 12;

export interface AeadImplementation {
  /** `openssl`: through koffi; `sodium`: sodium-native; `node`: node:crypto, which is always there. */
  readonly name: "openssl" | "sodium" | "node";
  readonly aeads: readonly AeadName[];
  sealer(aead: AeadName, key: Uint8Array, iv: Uint8Array): Sealer;
  opener(aead: AeadName, key: Uint8Array, iv: Uint8Array): Opener;
}

/** Whether it seals to the known answer, opens that, and refuses it with any part changed. */
export function passesSelfTest(implementation: AeadImplementation, aead: AeadName): boolean {
  const { key, iv, packetNumber, header, plain, sealed } = AEAD_VECTORS[aead];
  // Away from both ends of the buffer, as packets of a batch are.
  const before = 3;
  const buffer = new Uint8Array(before + header.length + sealed.length + 5);
  const packet = buffer.subarray(before, before + header.length + sealed.length);
  try {
    const sealer = implementation.sealer(aead, key, iv);
    const opener = implementation.opener(aead, key, iv);
    buffer.set(header, before);
    buffer.set(plain, before + header.length);
    sealer.seal(buffer, before, header.length, before + header.length + plain.length, packetNumber);
    const genuine = packet.slice();
    if (!equal(genuine.subarray(header.length), sealed)) return false;
    for (const at of [0, header.length, packet.length - 1]) {
      packet.set(genuine);
      packet[at] ^= 1;
      if (opener.open(packet, header.length, packetNumber)) return false;
    }
    packet.set(genuine);
    if (opener.open(packet, header.length, packetNumber + 1)) return false;
    packet.set(genuine);
    if (!opener.open(packet, header.length, packetNumber)) return false;
    return equal(packet.subarray(header.length, header.length + plain.length), plain);
  } catch {
    return false;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

let loaded: AeadImplementation[] | null = null;
const usable = new Map<AeadName, readonly AeadImplementation[]>();

/** The implementations of an AEAD that work here, the fastest first. Never empty. */
export function aeadImplementations(aead: AeadName): readonly AeadImplementation[] {
  let found = usable.get(aead);
  if (found === undefined) {
    loaded ??= [loadOpensslAead(), loadSodiumAead(), nodeAead].filter((one) => one !== null);
    found = loaded.filter((one) => one.aeads.includes(aead) && passesSelfTest(one, aead));
    if (found.length === 0) throw new Error(`no implementation of ${aead} gives the right answers`);
    usable.set(aead, found);
  }
  return found;
}

/** The one in use. */
export function aeadImplementation(aead: AeadName): AeadImplementation {
  return aeadImplementations(aead)[0];
}

let preferred: readonly AeadName[] | null = null;

/** Packets of the trial, and how often it is run; the best run counts. */
const TRIAL_PACKETS = 64;
const TRIALS = 5;
const TRIAL_BYTES = 1350;

/** Both AEADs, the faster on this machine first: measured once, in a few milliseconds, when first asked. */
export function preferredAeads(): readonly AeadName[] {
  preferred ??= [...AEAD_NAMES].sort((a, b) => trialMs(a) - trialMs(b));
  return preferred;
}

function trialMs(aead: AeadName): number {
  const implementation = aeadImplementation(aead);
  const sealer = implementation.sealer(aead, new Uint8Array(AEAD_KEY_BYTES[aead]), new Uint8Array(AEAD_IV_BYTES));
  const packet = new Uint8Array(TRIAL_BYTES);
  let best = Number.POSITIVE_INFINITY;
  for (let trial = 0; trial < TRIALS; trial++) {
    const start = performance.now();
    for (let i = 0; i < TRIAL_PACKETS; i++) sealer.seal(packet, 0, 11, TRIAL_BYTES - 16, i);
    best = Math.min(best, performance.now() - start);
  }
  return best;
}
