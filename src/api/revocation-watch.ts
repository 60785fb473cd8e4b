/**
 * Ends sessions whose peer's certificate is revoked while they are open. Handshakes look at the CRL themselves; a session from before would
 * go on, with whoever holds the stolen key.
 */
import type { Credentials } from "../tls/index.ts";
import { BatsError } from "./errors.ts";
import type { Session } from "./session.ts";

export class RevocationWatch {
  /** Ends it. */
  readonly stop: () => void;
  readonly #credentials: Credentials;

  /** Looks at the sessions of that moment when credentials are loaded again. */
  constructor(credentials: Credentials, sessions: () => Iterable<Session>) {
    this.#credentials = credentials;
    this.stop = credentials.watch(() => void this.#check(sessions));
  }

  /** A session whose handshake may have begun before the present CRL was there. */
  onSession(session: Session): void {
    void this.#check(() => [session]);
  }

  async #check(sessions: () => Iterable<Session>): Promise<void> {
    const lists = await this.#credentials.revocations();
    if (lists === null) return;
    for (const session of [...sessions()]) {
      const { commonName, issuer, serialNumber } = session.peer.identity;
      if (!lists.revokes({ issuer, serialNumber })) continue;
      const words = `the certificate of ${JSON.stringify(commonName)}, serial number ${serialNumber}, was revoked`;
      session.destroy(new BatsError("ERR_BATS_REVOKED", words));
    }
  }
}
