/** Keys that authenticate nobody, in the place of TLS. */
import { randomBytes } from "node:crypto";
import { StandInHandshake, standInProtection } from "../transport/link/index.ts";
import type { LinkSecurity } from "./link-security.ts";

export function standInSecurity(): LinkSecurity {
  return {
    protection: standInProtection,
    tokens: { issueRetry: () => randomBytes(16), verify: () => true },
    resetKey: new Uint8Array(32),
    handshake: (role) =>
      Object.assign(new StandInHandshake({ role, random: randomBytes(16) }), {
        peer: { commonName: "stand-in", organization: [], subjectAltNames: [], fingerprint256: "" },
        destroy: () => {},
      }),
  };
}
