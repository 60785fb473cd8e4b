// Two TLS handshakes joined in memory, driven until nothing moves any more.
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Credentials, TlsHandshake } from "../../src/tls/index.ts";
import type { LinkKeys } from "../../src/transport/link/aead.ts";

export const TRANSCRIPT = Buffer.from("versions, ids, parameters");

export interface PairOptions {
  client: Credentials;
  server: Credentials;
  serverName?: string;
  clientAlpn?: string;
  serverAlpn?: string;
  clientTranscript?: Uint8Array;
  serverTranscript?: Uint8Array;
  resume?: boolean;
}

export interface Pair {
  client: TlsHandshake;
  server: TlsHandshake;
  clientKeys: LinkKeys | null;
  serverKeys: LinkKeys | null;
  /** Bytes of each flight, client's first. */
  flights: { from: "client" | "server"; bytes: number }[];
}

/** Turns of the event loop without a byte after which nothing more is expected. */
const QUIET_TURNS = 8;

export async function shake(options: PairOptions): Promise<Pair> {
  const common = { resume: options.resume ?? true, serverName: options.serverName ?? "cloud.example" };
  const client = new TlsHandshake({
    role: "client",
    credentials: options.client,
    ...common,
    ...(options.clientAlpn === undefined ? {} : { alpn: options.clientAlpn }),
  });
  const server = new TlsHandshake({
    role: "server",
    credentials: options.server,
    ...(options.serverAlpn === undefined ? {} : { alpn: options.serverAlpn }),
  });
  client.bind(options.clientTranscript ?? TRANSCRIPT);
  server.bind(options.serverTranscript ?? TRANSCRIPT);
  const pair: Pair = { client, server, clientKeys: null, serverKeys: null, flights: [] };
  await settle(pair);
  return pair;
}

/** Carries bytes between both, as links do: all that `poll` gives, then keys. */
export async function settle(pair: Pair): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    await nextTurn();
    for (const from of ["client", "server"] as const) {
      const to = from === "client" ? pair.server : pair.client;
      for (let bytes = pair[from].poll(); bytes !== null; bytes = pair[from].poll()) {
        pair.flights.push({ from, bytes: bytes.length });
        to.receive(bytes);
        quiet = 0;
      }
      if (from === "client") pair.clientKeys ??= pair.client.keys();
      else pair.serverKeys ??= pair.server.keys();
    }
  }
}

export function destroy(pair: Pair): void {
  pair.client.destroy();
  pair.server.destroy();
}

/** Whether what one seals the other opens, both ways. */
export function keysFit(a: LinkKeys, b: LinkKeys): boolean {
  return [
    [a, b],
    [b, a],
  ].every(([from, to]) => {
    const packet = new Uint8Array(100).fill(7);
    from.sealer.seal(packet, 0, 11, 84, 5);
    return to.opener.open(packet, 11, 5) && packet.subarray(0, 84).every((byte) => byte === 7);
  });
}
