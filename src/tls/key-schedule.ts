/**
 * Where packet keys come from: HKDF (RFC 5869) with the labels of TLS 1.3 (RFC 8446, section 7.1) in a space of their own.
 * The handshake's keys have the shape of RFC 9001, section 5.2, the key update that of section 6.1, the limits are those of
 * section 6.6.
 */
import { createHmac } from "node:crypto";
import type { LinkKeys, PacketProtection, Role } from "../transport/link/aead.ts";
import { AEAD_IV_BYTES, AEAD_KEY_BYTES, type AeadName, aeadImplementation } from "./aead.ts";

const HASH = "sha256";
export const SECRET_BYTES = 32;
/** SHA-256 of "bats-transport handshake keys, version 1". */
const HANDSHAKE_SALT = Buffer.from("adc5dc0089077c6fb059bf760ecd9e955efc7201c9147ddb721b5c5378010527", "hex");

/**
 * Half of what RFC 9001 allows for AES-GCM: a link may seal twice this many when an update does not get through. ChaCha20-Poly1305
 * has no limit that packet numbers could reach.
 */
const SEAL_LIMIT: Record<AeadName, number> = {
  "aes-128-gcm": 2 ** 22,
  "chacha20-poly1305": Number.MAX_SAFE_INTEGER,
};
const OPEN_LIMIT: Record<AeadName, number> = { "aes-128-gcm": 2 ** 52, "chacha20-poly1305": 2 ** 36 };

/** HKDF-Expand-Label of RFC 8446 with the prefix "bats1 " and an empty context; at most 32 bytes, one block of HKDF-Expand. */
function expandLabel(secret: Uint8Array, label: string, bytes: number): Uint8Array {
  const name = Buffer.from(`bats1 ${label}`);
  const info = Buffer.concat([Uint8Array.of(0, bytes, name.length), name, Uint8Array.of(0, 1)]);
  // A copy, for a small array of its own takes a fifth of the memory of one over a digest's.
  return new Uint8Array(createHmac(HASH, secret).update(info).digest().subarray(0, bytes));
}

/** The keys of one phase from the secrets of both directions. */
function phaseKeys(aead: AeadName, sealSecret: Uint8Array, openSecret: Uint8Array): LinkKeys {
  const implementation = aeadImplementation(aead);
  const keyBytes = AEAD_KEY_BYTES[aead];
  return {
    sealer: implementation.sealer(
      aead,
      expandLabel(sealSecret, "key", keyBytes),
      expandLabel(sealSecret, "iv", AEAD_IV_BYTES),
    ),
    opener: implementation.opener(
      aead,
      expandLabel(openSecret, "key", keyBytes),
      expandLabel(openSecret, "iv", AEAD_IV_BYTES),
    ),
    sealLimit: SEAL_LIMIT[aead],
    openLimit: OPEN_LIMIT[aead],
    next: () =>
      phaseKeys(
        aead,
        expandLabel(sealSecret, "key update", SECRET_BYTES),
        expandLabel(openSecret, "key update", SECRET_BYTES),
      ),
  };
}

/** The first keys of an epoch from its secret of 32 bytes. */
export function keysOf(aead: AeadName, secret: Uint8Array, role: Role): LinkKeys {
  const client = expandLabel(secret, "client", SECRET_BYTES);
  const server = expandLabel(secret, "server", SECRET_BYTES);
  return role === "client" ? phaseKeys(aead, client, server) : phaseKeys(aead, server, client);
}

/** Packet protection of a link. Handshake packets are sealed with AES-128-GCM, whatever the data epoch takes. */
export const packetProtection: PacketProtection = {
  handshakeKeys(connectionId, role) {
    const secret = createHmac(HASH, HANDSHAKE_SALT).update(connectionId).digest();
    return keysOf("aes-128-gcm", secret, role);
  },
};
