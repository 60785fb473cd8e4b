/** The datagrams of a handshake with TLS, recorded, and what can be read of them without anybody's private key. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Credentials, packetProtection, TlsHandshake } from "../../src/tls/index.ts";
import type { LinkKeys, Role } from "../../src/transport/link/aead.ts";
import { ControlReceiver } from "../../src/transport/link/control-stream.ts";
import { FRAME_CONTROL, FrameReader, NO_MORE_FRAMES } from "../../src/transport/link/frames.ts";
import { type Link, PacketHeader } from "../../src/transport/link/index.ts";
import { decodePacketNumber, readPacketNumber } from "../../src/transport/link/packet-number.ts";
import { Authority, CLIENT_AUTH, SERVER_AUTH } from "../tls/certificates.ts";
import { coder, createClient, createTransmit, ServerEndpoint } from "../transport/harness.ts";
import { bytesOf, FORMATS, hex, type Meaning } from "./formats.ts";

const CLIENT = { ip: "192.0.2.1", port: 50_000 };
const SERVER = { ip: "192.0.2.2", port: 4433 };
const TURNS = 8;

export interface Flight {
  from: Role;
  datagrams: string[];
}

async function credentials(): Promise<{ client: Credentials; server: Credentials }> {
  const root = await Authority.root("root");
  const server = await root.issue("CN=cloud", { usage: [SERVER_AUTH], dns: ["cloud.example"] });
  const client = await root.issue("CN=edge-1", { usage: [CLIENT_AUTH] });
  return {
    client: new Credentials({ ca: root.pem, cert: client.chain, key: client.key }),
    server: new Credentials({ ca: root.pem, cert: server.chain, key: server.key }),
  };
}

/** All that an end wants to send now. */
function drain(end: Pick<Link, "pollTransmit">, nowMs: number): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  const out = createTransmit();
  while (end.pollTransmit(out, nowMs)) {
    const size = out.segmentBytes > 0 ? out.segmentBytes : out.length;
    for (let at = 0; at < out.length; at += size) datagrams.push(out.buffer.slice(at, Math.min(out.length, at + size)));
  }
  return datagrams;
}

async function settle(end: { handleTimeout(nowMs: number): void }, nowMs: number): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await nextTurn();
  end.handleTimeout(nowMs);
}

function serverEndpoint(handshake: TlsHandshake): ServerEndpoint {
  return new ServerEndpoint({ seed: 2, link: { handshake, protection: packetProtection } });
}

/** Two flights each way: hello, the server's answer, the client's proof, the first data packets. */
export async function recordHandshake(): Promise<Flight[]> {
  const { client, server } = await credentials();
  const clientTls = new TlsHandshake({
    role: "client",
    credentials: client,
    serverName: "cloud.example",
    resume: false,
  });
  const serverTls = new TlsHandshake({ role: "server", credentials: server });
  const clientLink = createClient(SERVER, { link: { handshake: clientTls, protection: packetProtection } });
  const serverEnd = serverEndpoint(serverTls);
  const flights: Flight[] = [];
  for (let round = 0; round < 4; round++) {
    const nowMs = round * 20;
    const fromClient = round % 2 === 0;
    const [sender, receiver, source] = fromClient ? [clientLink, serverEnd, CLIENT] : [serverEnd, clientLink, SERVER];
    await settle(sender, nowMs);
    const datagrams = drain(sender, nowMs);
    flights.push({ from: fromClient ? "client" : "server", datagrams: datagrams.map(hex) });
    for (const bytes of datagrams)
      receiver.handleDatagram(
        { bytes: bytes.slice(), source, destination: fromClient ? SERVER : CLIENT, ecn: 0 },
        nowMs + 10,
      );
  }
  clientTls.destroy();
  serverTls.destroy();
  return flights;
}

/** What the packets of the handshake epoch say, of both ends. */
export function readFlights(flights: readonly Flight[]): Meaning {
  const firstId = bytesOf(FORMATS["packetHeader"].read(bytesOf(flights[0].datagrams[0])).destination);
  const read: Record<Role, Meaning> = { client: reading(), server: reading() };
  const streams = { client: new ControlReceiver(coder, true), server: new ControlReceiver(coder, true) };
  const bytes: Record<Role, Uint8Array[]> = { client: [], server: [] };
  for (const { from, datagrams } of flights) {
    const keys = packetProtection.handshakeKeys(firstId, from === "client" ? "server" : "client");
    for (const datagram of datagrams) {
      const frames = openHandshake(bytesOf(datagram), keys);
      if (frames === null) {
        read[from].others++;
        continue;
      }
      read[from].packets++;
      for (const { type, batch, batchSize, symbol, data } of FORMATS["linkFrames"].read(frames)) {
        if (type !== FRAME_CONTROL) continue;
        streams[from].receive(batch, batchSize, symbol, bytesOf(data), (next) => bytes[from].push(next.slice()));
      }
    }
  }
  for (const from of ["client", "server"] as const) {
    const records = FORMATS["controlRecords"].read(Buffer.concat(bytes[from]));
    const tls = records
      .filter(({ type }: Meaning) => type === 0)
      .map(({ body }: Meaning) => body)
      .join("");
    const parameters = records.find(({ type }: Meaning) => type === 1);
    Object.assign(read[from], {
      parameters: FORMATS["linkParameters"].read(bytesOf(parameters.body)),
      tlsBytes: tls.length / 2,
      // Handshake, TLS 1.x, length; ClientHello or ServerHello.
      tls: tls.slice(0, 12),
    });
  }
  return read;
}

function reading(): Meaning {
  return { packets: 0, others: 0 };
}

/** The frames of a packet of the handshake epoch; null for another one. */
function openHandshake(bytes: Uint8Array, keys: LinkKeys): Uint8Array | null {
  const header = new PacketHeader();
  if (header.parse(bytes, 8) !== null || header.kind !== "handshake") return null;
  const low = readPacketNumber(bytes, header.numberStart, header.numberBytes);
  const number = decodePacketNumber(-1, low, header.numberBytes);
  if (!keys.opener.open(bytes, header.headerEnd, number)) throw new Error(`packet ${number} does not open`);
  const frames = bytes.subarray(header.headerEnd, bytes.length - 16);
  const reader = new FrameReader();
  const wrong = reader.open(frames, 0, frames.length);
  if (wrong !== null) throw new Error(wrong);
  while (reader.next() !== NO_MORE_FRAMES);
  return frames;
}

/** How today's server answers a recorded client's first flight. */
export async function answerOf(first: Flight): Promise<Meaning> {
  const { server } = await credentials();
  const tls = new TlsHandshake({ role: "server", credentials: server });
  const end = serverEndpoint(tls);
  for (const datagram of first.datagrams)
    end.handleDatagram({ bytes: bytesOf(datagram), source: CLIENT, destination: SERVER, ecn: 0 }, 0);
  await settle(end, 1);
  const answer = { from: "server" as const, datagrams: drain(end, 1).map(hex) };
  tls.destroy();
  return readFlights([first, answer]).server;
}
