/** How the options of the API become the security of an endpoint. */
import type { LinkSecurity } from "../endpoint/link-security.ts";
import { standInSecurity } from "../endpoint/stand-in-security.ts";

export interface SecurityOptions {
  /** CA certificates that the peer's certificate must come from, PEM. */
  ca: string | Uint8Array | (string | Uint8Array)[];
  /** This end's certificate, PEM, with intermediates. */
  cert: string | Uint8Array;
  /** Its private key, PEM. */
  key: string | Uint8Array;
  /** Certificate revocation lists, PEM. */
  crl?: string | Uint8Array | (string | Uint8Array)[];
  /** Application protocol, the same at both ends. */
  alpn?: string;
}

export function clientSecurity(_options: SecurityOptions): LinkSecurity {
  return standInSecurity();
}

export function serverSecurity(_options: SecurityOptions): LinkSecurity {
  return standInSecurity();
}
