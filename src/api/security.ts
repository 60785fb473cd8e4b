/** How certificates and keys become the security of an endpoint: TLS 1.3, both ends with certificates. There is no other way. */
import { hkdfSync } from "node:crypto";
import type { LinkSecurity } from "../endpoint/link-security.ts";
import {
  AddressTokens,
  type CredentialSources,
  Credentials,
  DEFAULT_ALPN,
  packetProtection,
  ResetTokens,
  TlsHandshake,
} from "../tls/index.ts";
import type { Role } from "../transport/link/index.ts";
import { BatsError } from "./errors.ts";

/** What this end proves itself with and whom it trusts: PEM files or texts, or `credentials` made of those before. */
export type SecurityOptions = (CredentialSources | { credentials: Credentials }) & {
  /** Application protocol: both ends must have the same. Default "bats/1". */
  alpn?: string;
};

/** The credentials meant by the options, which are to play the part of `role`. Throws ERR_BATS_CREDENTIALS. */
export function credentialsOf(options: SecurityOptions, role: Role): Credentials {
  try {
    const credentials = "credentials" in options ? options.credentials : new Credentials(options);
    credentials.useAs(role);
    return credentials;
  } catch (error) {
    throw new BatsError("ERR_BATS_CREDENTIALS", (error as Error).message, { cause: error });
  }
}

export function linkSecurity(credentials: Credentials, alpn: string = DEFAULT_ALPN): LinkSecurity {
  if (typeof alpn !== "string" || alpn.length < 1 || alpn.length > 255) {
    throw new BatsError("ERR_BATS_ARGUMENT", `alpn is ${JSON.stringify(alpn)}, wanted a string of 1 to 255 characters`);
  }
  return {
    protection: packetProtection,
    tokens: new AddressTokens(),
    resetTokens: new ResetTokens(resetKey(credentials)),
    handshake: (role, serverName, onProgress) =>
      new TlsHandshake(
        role === "client"
          ? { role, credentials, alpn, onProgress, serverName }
          : { role, credentials, alpn, onProgress },
      ),
  };
}

/** From the private key, so that it outlives a restart: whoever knows that key could end the links anyway. */
function resetKey(credentials: Credentials): Uint8Array {
  const key = Buffer.from(String(credentials.current.options.key));
  return new Uint8Array(hkdfSync("sha256", key, new Uint8Array(0), "bats-transport reset key", 32));
}
