/** What is recorded of each format: meanings for those with an encoder, bytes for the others. */
import { AckTracker } from "../../src/transport/link/ack-tracker.ts";
import { statelessReset, VERSION } from "../../src/transport/link/index.ts";
import { writeRetryHeader } from "../../src/transport/link/packet-header.ts";
import { bytesOf, hex, type Meaning } from "./formats.ts";

const CLIENT_ID = "c1c2c3c4c5c6c7c8";
const SERVER_ID = "5152535455565758";
const TOKEN = "77".repeat(16);
const header = (...parts: string[]) => parts.join("");
const version = VERSION.toString(16);

function ack(packets: readonly number[], ecn: number): string {
  const tracker = new AckTracker();
  for (const number of packets) tracker.add(number, ecn, 100);
  const bytes = new Uint8Array(64);
  return hex(bytes.subarray(0, tracker.write(bytes, 0, 64, 102)));
}

function retry(): string {
  const bytes = new Uint8Array(64);
  return hex(bytes.subarray(0, writeRetryHeader(bytes, 0, bytesOf(CLIENT_ID), bytesOf(SERVER_ID), bytesOf("aabb"))));
}

export interface Sample {
  format: string;
  name: string;
  meaning?: Meaning;
  hex?: string;
}

function transferEntry(kind: string, mode: number, sizeBytes: number, target: string) {
  // A name that is no UTF-8.
  const path = { hex: "646f63732ff0ff" };
  return { kind, mode, mtimeUs: 1_700_000_000_123_456, sizeBytes, path, target: { hex: target } };
}

const tag = "00".repeat(16);

export const SAMPLES: readonly Sample[] = [
  { format: "packetHeader", name: "short, phase 1", hex: header("45", SERVER_ID, "0107", "01", tag) },
  {
    format: "packetHeader",
    name: "handshake",
    hex: header(`c1${version}08`, SERVER_ID, "08", CLIENT_ID, "027a7a", "0102", "01000000", tag),
  },
  { format: "packetHeader", name: "retry", hex: retry() + tag },
  {
    format: "packetHeader",
    name: "of another version",
    hex: header("c01a2a3a4a08", SERVER_ID, "08", CLIENT_ID, "00".repeat(40)),
  },
  { format: "packetHeader", name: "stateless reset", hex: hex(statelessReset(bytesOf(TOKEN), 60, bytesOf("0102"))!) },
  {
    format: "versions",
    name: "two versions",
    meaning: {
      kind: "version-negotiation",
      destination: CLIENT_ID,
      source: SERVER_ID,
      versions: [version, "1a2a3a4a"],
    },
  },

  { format: "linkFrames", name: "padding, ping, session", hex: "000000010a0102" },
  { format: "linkFrames", name: "session with length, immediate ACK", hex: "0b03aabbcc09" },
  { format: "linkFrames", name: "ACK of ranges", hex: ack([1, 2, 3, 5, 9, 10], 0) },
  { format: "linkFrames", name: "ACK with ECN", hex: ack([11, 12, 40_000], 3) },
  { format: "linkFrames", name: "an extension and what follows it", hex: "404003ffffff01" },
  {
    format: "linkFrame",
    name: "CONTROL, source symbol",
    meaning: { type: 4, batch: 5, batchSize: 3, symbol: 2, data: "0102" },
  },
  {
    format: "linkFrame",
    name: "CONTROL, repair",
    meaning: { type: 4, batch: 70, batchSize: 32, symbol: 40, data: "ff".repeat(100) },
  },
  { format: "linkFrame", name: "PATH_CHALLENGE", meaning: { type: 5, data: "0102030405060708" } },
  { format: "linkFrame", name: "PATH_RESPONSE", meaning: { type: 6, data: "0102030405060708" } },
  { format: "linkFrame", name: "CLOSE", meaning: { type: 7, number: 0x100, data: hex(Buffer.from("bye")) } },
  { format: "linkFrame", name: "ACK_FREQUENCY", meaning: { type: 8, number: 1, threshold: 16, delayMs: 12.5 } },
  { format: "linkFrame", name: "extension", meaning: { type: 0x40, number: 0x1234, data: "ff" } },

  {
    format: "linkParameters",
    name: "a client's",
    meaning: { idleTimeoutMs: 30_000, maxDatagramBytes: 1472, ackDelayMs: 25, resetToken: null, session: "0102" },
  },
  {
    format: "linkParameters",
    name: "a server's",
    meaning: { idleTimeoutMs: 60_000, maxDatagramBytes: 65_527, ackDelayMs: 5, resetToken: TOKEN, session: "" },
  },
  {
    format: "controlRecords",
    name: "all types",
    meaning: [
      { type: 0, body: "160301" },
      { type: 2, sequence: 1, id: CLIENT_ID, resetToken: TOKEN },
      { type: 2, sequence: 300, id: "0102030405060708090a0b0c0d0e0f1011121314", resetToken: TOKEN },
      { type: 3, body: "412c" },
      { type: 4, body: "ab".repeat(70) },
    ],
  },

  {
    format: "symbolFrames",
    name: "source symbols and repairs of both kinds",
    meaning: [
      { type: 0x01, unreliable: false, batch: 7, lowestLive: 5, index: 3, finalSize: 0, data: "aabb" },
      { type: 0x01, unreliable: false, batch: 7, lowestLive: 5, index: 63, finalSize: 64, data: "" },
      {
        type: 0x22,
        unreliable: true,
        batch: 70_000,
        lowestLive: 69_000,
        covered: 17,
        seed: 191,
        finalSize: 0,
        data: "01020304",
      },
      { type: 0x03, unreliable: false, batch: 7, lowestLive: 7, covered: 2, seed: 0, finalSize: 2, data: "0506" },
      { type: 0x04, unreliable: false, batch: 7, lowestLive: 7, covered: 2, seed: 0, finalSize: 2, data: "07" },
      { type: 0x09, unreliable: false, batch: 8, lowestLive: 5, index: 0, finalSize: 1, data: "10".repeat(40) },
    ],
  },
  {
    format: "symbolFrames",
    name: "a repair to the end of the packet",
    meaning: [{ type: 0x2a, unreliable: true, batch: 1, lowestLive: 0, covered: 1, seed: 5, finalSize: 1, data: "99" }],
  },
  {
    format: "symbolFrames",
    name: "status",
    meaning: [
      { type: 5, number: 9 },
      {
        type: 6,
        request: 8,
        horizon: 300,
        batches: [
          [100, 0],
          [101, 64],
          [290, 7],
        ],
      },
      { type: 6, request: 0, horizon: 4, batches: [] },
      { type: 0x27, number: 12_345 },
    ],
  },
  {
    format: "sessionFrames",
    name: "streams and their control",
    meaning: [
      { frame: "stream", stream: 0, offset: 0, fin: false, compressed: false, data: "68656c6c6f" },
      { frame: "stream", stream: 5, offset: 100_000, fin: true, compressed: true, data: "" },
      { frame: "control", type: 0x14, fields: [4, 7, 1000] },
      { frame: "control", type: 0x15, fields: [4, 7] },
      { frame: "control", type: 0x16, fields: [1_000_000] },
      { frame: "control", type: 0x17, fields: [4, 70_000] },
      { frame: "control", type: 0x18, fields: [128] },
      { frame: "control", type: 0x19, fields: [2 ** 33] },
    ],
  },
  { format: "sessionFrames", name: "a stream to the end of the symbol", hex: `1d0a4400${"ab".repeat(20)}` },
  {
    format: "sessionFrames",
    name: "messages",
    meaning: [
      { frame: "message", type: 0x20, number: 11, total: 3, plain: 3, offset: 0, data: "010203" },
      { frame: "message", type: 0x21, number: 0, total: 1, plain: 1, offset: 0, data: "04" },
      { frame: "message", type: 0x22, number: 19, total: 5000, plain: 5000, offset: 1000, data: "0506" },
      { frame: "message", type: 0x27, number: 2, total: 5000, plain: 90_000, offset: 0, data: "07" },
    ],
  },
  {
    format: "datagramFrames",
    name: "whole and in parts",
    meaning: [
      { number: -1, offset: 0, total: 2, data: "0102" },
      { number: 300, offset: 1000, total: 3000, data: "ff".repeat(30) },
    ],
  },
  {
    format: "sessionParameters",
    name: "of a session that is resumed",
    meaning: {
      sessionId: "ab".repeat(16),
      resumed: true,
      sessionWindow: 524_288,
      streamWindow: 262_144,
      maxStreams: 128,
      largestMessage: 2 ** 24,
      compression: [1],
    },
  },
  {
    format: "sessionParameters",
    name: "of one that never is",
    meaning: {
      sessionId: "00".repeat(16),
      resumed: false,
      sessionWindow: 1,
      streamWindow: 2,
      maxStreams: 3,
      largestMessage: 4,
      compression: [],
    },
  },

  ...[
    { type: "connect", target: "tcp:127.0.0.1:80", source: "127.0.0.1:50000" },
    { type: "flow", target: "udp:[2001:db8::1]:53" },
    { type: "listen", endpoint: "unix:/run/bats/{identity}.sock", listener: 3 },
    { type: "accepted-connect", listener: 3, source: "unix" },
    { type: "accepted-flow", listener: 300 },
    { type: "tunnel", addresses: ["10.9.0.7/24", "fd00::7/64"], routes: ["192.168.7.0/24"] },
    { type: "tunnel", addresses: ["10.9.0.8"], routes: [] },
  ].map((one) => ({ format: "forwardOpen", name: one.type, meaning: { header: one, end: -1 } })),
  {
    format: "forwardOpen",
    name: "a tunnel that takes trains",
    meaning: { header: { type: "tunnel", addresses: ["10.9.0.8"], routes: ["192.168.7.0/24"], trains: true }, end: -1 },
  },
  {
    format: "forwardOpen",
    name: "with a field that may be skipped",
    hex: `01160112${hex(Buffer.from("tcp:127.0.0.1:8080"))}6400`,
  },
  ...[
    { type: "done" },
    { type: "done", address: "tcp:127.0.0.1:49152" },
    { type: "refused", reason: "not-allowed", message: "edge-1 is not allowed to reach tcp:127.0.0.1:22" },
  ].map((one) => ({ format: "forwardAnswer", name: one.type, meaning: { header: one, end: -1 } })),
  {
    format: "forwardAnswer",
    name: "a tunnel that takes trains",
    meaning: { header: { type: "done", address: "10.9.0.8/32", trains: true }, end: -1 },
  },
  { format: "forwardAnswer", name: "a refusal for a reason of later", hex: "2107050132060277" + "68" },

  {
    format: "tunnelFrame",
    name: "plain",
    meaning: { stream: 4, kind: "plain", flow: 0, sequence: 0, packet: "4500001400" },
  },
  {
    format: "tunnelFrame",
    name: "ordered",
    meaning: { stream: 400, kind: "ordered", flow: 0x1234, sequence: 0xabcdef, packet: "60000000" },
  },
  {
    format: "tunnelFrame",
    name: "twice",
    meaning: { stream: 4, kind: "twice", flow: 0, sequence: 0xbeef, packet: "45aa" },
  },
  ...[
    { name: "the beginning of a train", segmentBytes: 1328, ends: false, packet: "45000030" },
    { name: "a part of a train", segmentBytes: 0, ends: false, packet: "010203" },
    { name: "the end of a train", segmentBytes: 0, ends: true, packet: "04" },
    { name: "a whole train", segmentBytes: 0xffff, ends: true, packet: "60000000" },
  ].map(({ name, ...part }) => ({
    format: "tunnelFrame",
    name,
    meaning: { stream: 4, kind: "train", flow: 0x3ff, sequence: 0xabcdef, ...part },
  })),
  ...[
    { type: "hello", role: "receiver", trustTimes: true },
    { type: "hello", role: "sender", trustTimes: false },
    { type: "totals", files: 70_000, bytes: 2 ** 40 },
    { type: "stop", text: "nobody may send here" },
    { type: "progress", bytes: 123_456_789 },
    { type: "entry", id: 0, entry: transferEntry("file", 0o644, 100_000, "") },
    { type: "entry", id: 1, entry: transferEntry("directory", 0o2755, 0, "") },
    { type: "entry", id: 64, entry: transferEntry("link", 0o777, 0, hex(Buffer.from("../a"))) },
    { type: "entry", id: 1024, entry: transferEntry("seal", 0o755, 0, "") },
    { type: "same", id: 5 },
    { type: "withdrawn", id: 6 },
    { type: "omitted", path: { hex: "612f62" }, text: "permission denied" },
    { type: "want", id: 7, offset: 0, hash: { hex: "" } },
    { type: "want", id: 8, offset: 65_536, hash: { hex: "ab".repeat(32) } },
    { type: "done", id: 9, unchanged: true },
    { type: "done", id: 10, unchanged: false },
    { type: "failed", id: 11, text: "no space left" },
  ].map((frame) => ({
    format: "transferFrames",
    name: Object.values(frame)
      .filter((value) => typeof value !== "object")
      .join(" "),
    meaning: [frame],
  })),
  { format: "transferFrames", name: "a type that may be skipped, and what follows it", hex: "1203ffffff" + "040105" },
  {
    format: "perfLines",
    name: "what both ends say",
    meaning: [
      { mode: "datagram", reverse: true, seconds: 10, parallel: 1, sizeBytes: 1200, rateMbps: 2.5 },
      true,
      { bytes: 3_000_000, count: 2500, elapsedMs: 10_000.5 },
    ],
  },
  {
    format: "perfLines",
    name: "with a field of later",
    hex: hex(Buffer.from('{"bytes":1,"count":1,"elapsedMs":0,"jitterMs":3}\n')),
  },
  { format: "fallbackStream", name: "two datagrams", hex: "0003010203" + "0001ff" },

  ...[0, 1].flatMap((aead) =>
    [0, 1, 2].map((phase) => ({
      format: "sealed",
      name: `${aead === 0 ? "AES-128-GCM" : "ChaCha20-Poly1305"}, phase ${phase}`,
      meaning: { header: `0${aead}0${phase}${"5a".repeat(9)}`, payload: hex(Buffer.from("what a session says")) },
    })),
  ),
];
