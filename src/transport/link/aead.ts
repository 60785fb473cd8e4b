/**
 * The contract of packet protection: sealing and opening in place, and where keys come from. Which cipher is behind it is
 * not the link's business; `stand-in-aead.ts` has one without secrecy for simulations. Source of the shape: RFC 9001,
 * section 5 (nonce from the packet number, header as associated data), section 6 (key update).
 */

export interface Sealer {
  /**
   * Seals `bytes[start + headerBytes .. end)` in place, with `bytes[start .. start + headerBytes)` as associated data, and
   * writes the 16-byte tag from `end` on. A packet number comes once under one sealer.
   */
  seal(bytes: Uint8Array, start: number, headerBytes: number, end: number, packetNumber: number): void;
}

export interface Opener {
  /**
   * Opens `bytes[headerBytes .. bytes.length - 16)` in place; false, with the content undefined, when it is not genuine.
   * Anything may be in it: never throws.
   */
  open(bytes: Uint8Array, headerBytes: number, packetNumber: number): boolean;
}

/** Keys of one epoch or key phase, one for each direction. */
export interface LinkKeys {
  readonly sealer: Sealer;
  readonly opener: Opener;
  /** Packets that may be sealed before the keys have to be updated (RFC 9001, section 6.6). */
  readonly sealLimit: number;
  /** Packets that may fail to open before the link must end (RFC 9001, section 6.6). */
  readonly openLimit: number;
  /** The keys of the next phase. Those of the handshake have none and are never asked. */
  next(): LinkKeys;
}

export type Role = "client" | "server";

export interface PacketProtection {
  /**
   * The keys of the handshake epoch, which everyone can derive who saw the client's first packet: they keep damage and
   * off-path attackers out, not onlookers (RFC 9001, section 5.2). `connectionId` is the client's first destination id.
   */
  handshakeKeys(connectionId: Uint8Array, role: Role): LinkKeys;
}
