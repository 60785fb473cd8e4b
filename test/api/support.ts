/** What the tests of the socket API share: a listener with a connected session, and tidying up after each test. */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterEach } from "vitest";
import {
  type ClientOptions,
  Credentials,
  connect,
  type Listener,
  type ListenerOptions,
  listen,
  type Session,
  type Stream,
} from "../../src/index.ts";
import { Authority, CLIENT_AUTH, SERVER_AUTH } from "../tls/certificates.ts";

const streams: Stream[] = [];
const open: { close(options?: { timeoutMs?: number }): Promise<void> }[] = [];

afterEach(async () => {
  // A stream that a test leaves open is cut off now, and says so by an error that nobody waits for any more.
  for (const stream of streams.splice(0)) stream.on("error", () => {});
  for (const one of open.splice(0).reverse()) await one.close({ timeoutMs: 0 });
});

/** Closes it after the test, at once. */
export function closeLater<T extends { close(options?: { timeoutMs?: number }): Promise<void> }>(one: T): T {
  open.push(one);
  return one;
}

/** A UDP port of the loopback address that never answers. */
export async function silentPort(): Promise<number> {
  const silent = createSocket("udp4").bind(0, "127.0.0.1");
  await once(silent, "listening");
  closeLater({ close: async () => void silent.close() });
  return silent.address().port;
}

const authority = await Authority.root("test CA");
const serverCertificate = await authority.issue("CN=cloud", {
  usage: [SERVER_AUTH, CLIENT_AUTH],
  ip: ["127.0.0.1", "::1"],
  dns: ["localhost"],
});
const otherCertificate = await authority.issue("CN=cloud", { usage: [SERVER_AUTH], ip: ["127.0.0.1"] });
const clientCertificate = await authority.issue("O=system:nodes, CN=system:node:edge-1", { usage: [CLIENT_AUTH] });

export const serverCredentials = new Credentials({
  ca: authority.pem,
  cert: serverCertificate.chain,
  key: serverCertificate.key,
});
/** Of the same name with another key. */
export const otherServerCredentials = new Credentials({
  ca: authority.pem,
  cert: otherCertificate.chain,
  key: otherCertificate.key,
});
export const clientCredentials = new Credentials({
  ca: authority.pem,
  cert: clientCertificate.chain,
  key: clientCertificate.key,
});

export async function listener(
  options: Partial<ListenerOptions> & { credentials?: Credentials } = {},
): Promise<Listener> {
  return closeLater(await listen({ listen: "127.0.0.1:0", credentials: serverCredentials, ...options }));
}

export async function dial(to: Listener | number, options: ClientOptions = {}): Promise<Session> {
  const port = typeof to === "number" ? to : to.address.port;
  return closeLater(await connect(`127.0.0.1:${port}`, { credentials: clientCredentials, ...options }));
}

/** A session, both its ends. */
export async function pair(
  options: { listen?: Partial<ListenerOptions>; connect?: ClientOptions; via?: number } = {},
): Promise<{ listener: Listener; client: Session; server: Session }> {
  const listening = await listener(options.listen);
  const accepted = once(listening, "session");
  const client = await dial(options.via ?? listening, options.connect);
  const [server] = (await accepted) as [Session];
  return { listener: listening, client, server };
}

/** A stream, both its ends: the peer hears of it with the first bytes, which are `hello`. */
export async function streamPair(
  client: Session,
  server: Session,
  hello = "hello",
): Promise<{ near: Stream; far: Stream }> {
  const opened = once(server, "stream");
  const near = client.openStream();
  near.write(hello);
  const [far] = (await opened) as [Stream];
  streams.push(near, far);
  let got = "";
  while (got.length < hello.length) {
    await once(far, "readable");
    for (let chunk = far.read(); chunk !== null; chunk = far.read()) got += chunk;
  }
  return { near, far };
}

/** Writes `bytes` bytes that depend on `seed`, minding back-pressure, and ends the stream; their SHA-1. */
export async function pour(stream: Stream, bytes: number, seed = 1): Promise<string> {
  const hash = createHash("sha1");
  const chunk = Buffer.alloc(60_001);
  for (let i = 0; i < chunk.length; i++) chunk[i] = (i * 31 + (i >>> 8) * 17 + seed * 101) & 255;
  for (let sent = 0; sent < bytes; ) {
    const part = chunk.subarray(0, Math.min(chunk.length, bytes - sent));
    hash.update(part);
    sent += part.length;
    // The chunk itself is never changed, so it may be written again and again.
    if (!stream.write(part)) await once(stream, "drain");
  }
  stream.end();
  return hash.digest("hex");
}

/** Reads to the end, and leaves the other half alone; how many bytes there were, and their SHA-1. */
export async function drain(stream: Stream): Promise<{ bytes: number; sha1: string }> {
  const hash = createHash("sha1");
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  await once(stream, "end");
  return { bytes, sha1: hash.digest("hex") };
}
