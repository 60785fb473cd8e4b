/** Known answers for the self-test: RFC 9001, appendix A.3 (AES-128-GCM) and A.5 (ChaCha20-Poly1305). */
import type { AeadName } from "./aead.ts";

export interface AeadVector {
  key: Uint8Array;
  iv: Uint8Array;
  packetNumber: number;
  header: Uint8Array;
  plain: Uint8Array;
  /** With the tag. */
  sealed: Uint8Array;
}

export const AEAD_VECTORS: Record<AeadName, AeadVector> = {
  "aes-128-gcm": {
    key: hex("cf3a5331653c364c88f0f379b6067e37"),
    iv: hex("0ac1493ca1905853b0bba03e"),
    packetNumber: 1,
    header: hex("c1000000010008f067a5502a4262b50040750001"),
    plain: hex(
      "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200" +
        "130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00" +
        "020304",
    ),
    sealed: hex(
      "5a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6" +
        "ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850" +
        "abbdca3d20398c276456cbc42158407dd074ee",
    ),
  },
  "chacha20-poly1305": {
    key: hex("c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"),
    iv: hex("e0459b3474bdd0e44a41c144"),
    packetNumber: 654_360_564,
    header: hex("4200bff4"),
    plain: hex("01"),
    sealed: hex("655e5cd55c41f69080575d7999c25a5bfb"),
  },
};

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "hex"));
}
