/**
 * Every kind of bytes on the wire, as what they mean: `read` with today's parser, `write` with today's encoder where there is one. Meanings
 * are plain JSON, bytes in them hexadecimal, so that they can be kept beside the bytes they were recorded with.
 */
import { DatagramReader } from "../../src/fallback/datagram-reader.ts";
import { encodeLine, parsePlan, parseTally } from "../../src/perf/plan.ts";
import { decodeAnswer, decodeOpen, encodeAnswer, encodeOpen } from "../../src/proxy/open-header.ts";
import { keysOf } from "../../src/tls/key-schedule.ts";
import { decodeFrame, encodeFrame } from "../../src/transfer/frames.ts";
import {
  decodeNewId,
  encodeNewId,
  encodeRecord,
  encodeRetireId,
  RecordReader,
} from "../../src/transport/link/control-records.ts";
import * as link from "../../src/transport/link/frames.ts";
import { PacketHeader, versionNegotiation } from "../../src/transport/link/index.ts";
import { readPacketNumber } from "../../src/transport/link/packet-number.ts";
import { decodeParameters, encodeParameters } from "../../src/transport/link/parameters.ts";
import { readVarint, varintLengthAt, writeVarint } from "../../src/transport/link/varint.ts";
import { DatagramFrame, writeDatagram, writePart } from "../../src/transport/session/datagram-frames.ts";
import * as symbols from "../../src/transport/session/frames.ts";
import {
  MessageFrame,
  readSessionFrames,
  writeControlFrame,
  writeStreamHeader,
} from "../../src/transport/session/session-frames.ts";
import { decodeSessionParameters, encodeSessionParameters } from "../../src/transport/session/session-parameters.ts";
import {
  ORDERED_HEADER_BYTES,
  TRAIN_BEGIN_BYTES,
  TRAIN_HEADER_BYTES,
  TunnelFrame,
  writeOrderedHeader,
  writeTrainPart,
  writeTwiceHeader,
} from "../../src/tunnel/tunnel-frames.ts";

// biome-ignore lint/suspicious/noExplicitAny: what JSON holds.
export type Meaning = any;

export interface Format {
  /** What the bytes mean; what is wrong with them is `{ wrong }`. */
  read(bytes: Uint8Array): Meaning;
  write?(meaning: Meaning): Uint8Array;
}

/** Connection ids in short packets have this length here. */
const ID_BYTES = 8;

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));

/** What `fill` writes, which returns where it ends. */
function written(fill: (bytes: Uint8Array) => number): Uint8Array {
  const bytes = new Uint8Array(8192);
  return bytes.slice(0, fill(bytes));
}

/** Written by one after the other. */
function chain<T>(parts: readonly T[], write: (bytes: Uint8Array, at: number, part: T) => number): Uint8Array {
  return written((bytes) => parts.reduce((at, part) => write(bytes, at, part), 0));
}

/** A header, as far as it tells without keys. */
const packetHeader: Format = {
  read(bytes) {
    const header = new PacketHeader();
    const wrong = header.parse(bytes, ID_BYTES);
    if (wrong !== null && wrong !== "unknown-version") return { wrong };
    const part = (start: number, end: number) => hex(bytes.subarray(start, end));
    const ids = {
      destination: part(header.destinationStart, header.destinationEnd),
      ...(bytes[0] < 0x80 ? {} : { source: part(header.sourceStart, header.sourceEnd) }),
    };
    if (wrong !== null) return { wrong, version: header.version.toString(16), ...ids };
    if (header.kind === "version-negotiation") {
      const versions = part(header.numberStart, bytes.length).match(/.{8}/g);
      return { kind: header.kind, ...ids, versions };
    }
    const number = readPacketNumber(bytes, header.numberStart, header.numberBytes);
    const token = header.kind === "short" ? {} : { token: part(header.tokenStart, header.tokenEnd) };
    const phase = header.kind === "short" ? { keyPhase: header.keyPhase } : {};
    return { kind: header.kind, ...ids, ...token, ...phase, number, headerBytes: header.headerEnd };
  },
};

const versions: Format = {
  read: packetHeader.read,
  // The names are those of the packet as its receiver reads it.
  write: ({ destination, source, versions: list }) =>
    versionNegotiation(
      bytesOf(destination),
      bytesOf(source),
      list.map((version: string) => Number.parseInt(version, 16)),
    ),
};

const linkFrames: Format = {
  read(bytes) {
    const reader = new link.FrameReader();
    const wrong = reader.open(bytes, 0, bytes.length);
    if (wrong !== null) return { wrong };
    const frames: Meaning[] = [];
    for (let type = reader.next(); type !== link.NO_MORE_FRAMES; type = reader.next()) {
      const data = () => hex(bytes.subarray(reader.dataStart, reader.dataEnd));
      const { number } = reader;
      switch (type) {
        case link.FRAME_ACK:
        case link.FRAME_ACK_ECN: {
          const { delayMs } = reader;
          const ecn = type === link.FRAME_ACK ? {} : { ecn: [reader.ect0, reader.ect1, reader.ce] };
          const ranges: number[][] = [];
          while (reader.nextRange()) ranges.push([reader.low, reader.high]);
          frames.push({ type, delayMs, ranges, ...ecn });
          break;
        }
        case link.FRAME_CONTROL:
          frames.push({ type, batch: number, batchSize: reader.batchSize, symbol: reader.symbol, data: data() });
          break;
        case link.FRAME_CLOSE:
        case link.EXTENSION_FIRST:
          frames.push({ type, number, data: data() });
          break;
        case link.FRAME_ACK_FREQUENCY:
          frames.push({ type, number, threshold: reader.threshold, delayMs: reader.delayMs });
          break;
        case link.FRAME_PADDING:
        case link.FRAME_PING:
        case link.FRAME_IMMEDIATE_ACK:
          frames.push({ type });
          break;
        default:
          frames.push({ type, data: data() });
      }
    }
    return frames;
  },
};

/** Those frames that an encoder writes by themselves; ACKs come from what was received. */
const linkFrame: Format = {
  read: (bytes) => linkFrames.read(bytes)[0],
  write: ({ type, number, data, batch, batchSize, symbol, threshold, delayMs }) =>
    written((bytes) => {
      const body = bytesOf(data ?? "");
      switch (type) {
        case link.FRAME_CONTROL: {
          const at = link.writeControlHeader(bytes, 0, batch, batchSize, symbol, body.length);
          bytes.set(body, at);
          return at + body.length;
        }
        case link.FRAME_CLOSE:
          return link.writeClose(bytes, 0, number, body);
        case link.FRAME_ACK_FREQUENCY:
          return link.writeAckFrequency(bytes, 0, number, threshold, delayMs);
        case link.EXTENSION_FIRST:
          return link.writeExtension(bytes, 0, number, body);
        default:
          return link.writePathFrame(bytes, 0, type, body);
      }
    }),
};

const linkParameters: Format = {
  read(bytes) {
    const parameters = decodeParameters(bytes);
    if (parameters === null) return { wrong: "parameters" };
    const { resetToken, session, ...numbers } = parameters;
    return { ...numbers, resetToken: resetToken === null ? null : hex(resetToken), session: hex(session) };
  },
  write: ({ resetToken, session, ...numbers }) =>
    encodeParameters({
      ...numbers,
      resetToken: resetToken === null ? null : bytesOf(resetToken),
      session: bytesOf(session),
    }),
};

const controlRecords: Format = {
  read(bytes) {
    const records: Meaning[] = [];
    const good = new RecordReader().push(bytes, (type, body) => {
      const fresh = type === 2 ? decodeNewId(body) : null;
      if (fresh === null) records.push({ type, body: hex(body) });
      else records.push({ type, sequence: fresh.sequence, id: hex(fresh.id), resetToken: hex(fresh.resetToken) });
    });
    return good ? records : { wrong: "records" };
  },
  write: (records: Meaning[]) =>
    Buffer.concat(
      records.map(({ type, body, sequence, id, resetToken }) => {
        if (type === 2) return encodeNewId(sequence, bytesOf(id), bytesOf(resetToken));
        const bytes = bytesOf(body);
        return type === 3 ? encodeRetireId(readVarint(bytes, 0, bytes.length)) : encodeRecord(type, bytes);
      }),
    ),
};

const symbolFrames: Format = {
  read(bytes) {
    const frame = new symbols.SymbolFrame();
    const status = new symbols.StatusFrame();
    const frames: Meaning[] = [];
    for (let at = 0; at < bytes.length; ) {
      const type = bytes[at];
      if (type === symbols.BATCH_STATUS) {
        at = status.read(bytes, at, bytes.length);
        const { request, horizon, count } = status;
        const batches = [...status.batches.subarray(0, count)].map((batch, i) => [batch, status.ranks[i]]);
        frames.push({ type, request, horizon, batches });
      } else if (type === symbols.STATUS_REQUEST || type === symbols.GIVEN_UP) {
        frames.push({ type, number: symbols.readNumberFrame(bytes, at, bytes.length) });
        at += 1 + varintLengthAt(bytes, at + 1);
      } else {
        const next = frame.read(bytes, at, bytes.length);
        const { unreliable, batch, lowestLive, index, covered, seed, finalSize } = frame;
        const name = frame.type === symbols.SYMBOL_SOURCE ? { index } : { covered, seed };
        const data = hex(bytes.subarray(frame.start, frame.end));
        frames.push({ type, unreliable, batch, lowestLive, ...name, finalSize, data });
        at = next;
      }
      if (at < 0) return { wrong: "symbol frame" };
    }
    return frames;
  },
  write: (frames: Meaning[]) =>
    chain(frames, (bytes, at, { type, request, horizon, batches, number, ...symbol }) => {
      if (type === symbols.BATCH_STATUS) {
        const status = new symbols.StatusFrame();
        Object.assign(status, { request, horizon, count: batches.length });
        batches.forEach(([batch, rank]: number[], i: number) => {
          status.batches[i] = batch;
          status.ranks[i] = rank;
        });
        return status.write(bytes, at);
      }
      if (type === symbols.STATUS_REQUEST || type === symbols.GIVEN_UP)
        return symbols.writeNumberFrame(bytes, at, type, number);
      const { batch, lowestLive, index, covered, seed, finalSize } = symbol;
      const data = bytesOf(symbol.data);
      const final = finalSize > 0;
      const next =
        index === undefined
          ? symbols.writeRepairHeader(bytes, at, type, batch, lowestLive, covered, seed, final, data.length)
          : symbols.writeSourceHeader(bytes, at, type, batch, lowestLive, index, final, data.length);
      bytes.set(data, next);
      return next + data.length;
    }),
};

const sessionFrames: Format = {
  read(symbol) {
    const frames: Meaning[] = [];
    const push = (frame: Meaning) => {
      frames.push(frame);
      return null;
    };
    const fault = readSessionFrames(symbol, {
      onStreamData: (stream, offset, data, fin, compressed) =>
        push({ frame: "stream", stream, offset, fin, compressed, data: hex(data) }),
      onResetStream: (...fields) => push({ frame: "control", type: 0x14, fields }),
      onStopSending: (...fields) => push({ frame: "control", type: 0x15, fields }),
      onMaxData: (...fields) => push({ frame: "control", type: 0x16, fields }),
      onMaxStreamData: (...fields) => push({ frame: "control", type: 0x17, fields }),
      onMaxStreams: (...fields) => push({ frame: "control", type: 0x18, fields }),
      onDataBlocked: (...fields) => push({ frame: "control", type: 0x19, fields }),
      onMessage: ({ type, number, total, plain, offset }, data) =>
        push({ frame: "message", type, number, total, plain, offset, data: hex(data) }),
    });
    return fault === null ? frames : { wrong: fault.message };
  },
  /** The last stream's frame goes without a length when `rest` says so. */
  write: (frames: Meaning[]) =>
    chain(frames, (bytes, at, { frame, type, fields, rest, ...what }) => {
      if (frame === "control") return writeControlFrame(bytes, at, { type, fields });
      const data = bytesOf(what.data);
      let next: number;
      if (frame === "message") {
        const { number, total, plain, offset } = what;
        const message = Object.assign(new MessageFrame(), { type, number, total, plain, offset, length: data.length });
        next = message.write(bytes, at);
      } else {
        const { stream, offset, fin, compressed } = what;
        next = writeStreamHeader(bytes, at, stream, offset, rest ? -1 : data.length, fin, compressed);
      }
      bytes.set(data, next);
      return next + data.length;
    }),
};

const datagramFrames: Format = {
  read(symbol) {
    const frame = new DatagramFrame();
    const frames: Meaning[] = [];
    for (let at = 0; at < symbol.length; ) {
      at = frame.read(symbol, at);
      if (at < 0) return { wrong: "datagram frame" };
      const { number, offset, total, start, end } = frame;
      frames.push({ number, offset, total, data: hex(symbol.subarray(start, end)) });
    }
    return frames;
  },
  write: (frames: Meaning[]) =>
    chain(frames, (bytes, at, { number, offset, total, data }) => {
      const part = bytesOf(data);
      if (number < 0) return writeDatagram(bytes, at, part);
      const whole = new Uint8Array(total);
      whole.set(part, offset);
      return writePart(bytes, at, number, whole, offset, part.length);
    }),
};

const sessionParameters: Format = {
  read(bytes) {
    const parameters = decodeSessionParameters(bytes);
    return parameters === null ? { wrong: "parameters" } : { ...parameters, sessionId: hex(parameters.sessionId) };
  },
  write: ({ sessionId, ...others }) => encodeSessionParameters({ sessionId: bytesOf(sessionId), ...others }),
};

const forwardOpen: Format = { read: decodeOpen, write: ({ header }) => encodeOpen(header) };
const forwardAnswer: Format = { read: decodeAnswer, write: ({ header }) => encodeAnswer(header) };

/** A datagram of a tunnel: the stream's number, a frame, a packet. */
const tunnelFrame: Format = {
  read(bytes) {
    const stream = readVarint(bytes, 0, bytes.length);
    const frame = new TunnelFrame();
    if (!frame.read(bytes, varintLengthAt(bytes, 0))) return { wrong: "tunnel frame" };
    const { kind, flow, sequence, packetAt, begins, ends, segmentBytes } = frame;
    const part = kind === "train" ? { segmentBytes: begins ? segmentBytes : 0, ends } : {};
    return { stream, kind, flow, sequence, ...part, packet: hex(bytes.subarray(packetAt)) };
  },
  write: ({ stream, kind, flow, sequence, segmentBytes, ends, packet }) =>
    written((bytes) => {
      let at = writeVarint(bytes, 0, stream);
      if (kind === "ordered") {
        writeOrderedHeader(bytes, at, flow, sequence);
        at += ORDERED_HEADER_BYTES;
      } else if (kind === "twice") {
        writeTwiceHeader(bytes, at, sequence);
        at += 3;
      }
      if (kind === "train") {
        writeTrainPart(bytes, at, flow, sequence, segmentBytes, ends);
        at += segmentBytes > 0 ? TRAIN_BEGIN_BYTES : TRAIN_HEADER_BYTES;
      }
      bytes.set(bytesOf(packet), at);
      return at + packet.length / 2;
    }),
};

/** Frames of a transfer's control stream; those that are skipped are null. */
const transferFrames: Format = {
  read(bytes) {
    const frames: Meaning[] = [];
    for (let at = 0; at < bytes.length; ) {
      const decoded = decodeFrame(Buffer.from(bytes), at);
      if (decoded === null || "malformed" in decoded) return { wrong: decoded?.malformed ?? "cut short" };
      frames.push(mapFields(decoded.frame, (value) => (Buffer.isBuffer(value) ? { hex: hex(value) } : value)));
      at = decoded.end;
    }
    return frames;
  },
  write: (frames: Meaning[]) =>
    Buffer.concat(
      frames.map((frame) =>
        encodeFrame(mapFields(frame, (value) => (isHex(value) ? Buffer.from(value.hex, "hex") : value))),
      ),
    ),
};

function isHex(value: Meaning): value is { hex: string } {
  return typeof value === "object" && typeof value.hex === "string";
}

/** The same with each field changed, and each of its entry. */
function mapFields(value: Meaning, change: (field: Meaning) => Meaning): Meaning {
  if (value === null) return null;
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [key, key === "entry" ? mapFields(field, change) : change(field)]),
  );
}

/** Lines of a measurement's control stream. */
const perfLines: Format = {
  read: (bytes) =>
    Buffer.from(bytes)
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => {
        const value = JSON.parse(line);
        return value === true ? true : (parsePlan(value) ?? parseTally(value));
      }),
  write: (lines: Meaning[]) => Buffer.from(lines.map(encodeLine).join("")),
};

/** Datagrams in a stream of TLS. */
const fallbackStream: Format = {
  read(bytes) {
    const datagrams: string[] = [];
    const good = new DatagramReader((datagram) => datagrams.push(hex(datagram))).push(Buffer.from(bytes));
    return good ? datagrams : { wrong: "stream" };
  },
};

/** A packet sealed with keys of the data epoch, after a header of 11 bytes. */
const sealed: Format = {
  read(bytes) {
    // Its first bytes say how: AEAD, phase.
    const packet = bytes.slice();
    const opener = keysAt(packet[0], packet[1], "server").opener;
    return opener.open(packet, HEADER_BYTES, SEALED_NUMBER)
      ? {
          payload: hex(packet.subarray(HEADER_BYTES, packet.length - 16)),
          header: hex(packet.subarray(0, HEADER_BYTES)),
        }
      : { wrong: "not authentic" };
  },
  write({ header, payload }) {
    const packet = Buffer.concat([bytesOf(header), bytesOf(payload), Buffer.alloc(16)]);
    const end = packet.length - 16;
    keysAt(packet[0], packet[1], "client").sealer.seal(packet, 0, HEADER_BYTES, end, SEALED_NUMBER);
    return packet;
  },
};
const HEADER_BYTES = 11;
const SEALED_NUMBER = 0x1234567;

function keysAt(aead: number, phase: number, role: "client" | "server") {
  let keys = keysOf(aead === 0 ? "aes-128-gcm" : "chacha20-poly1305", new Uint8Array(32).fill(9), role);
  for (let i = 0; i < phase; i++) keys = keys.next();
  return keys;
}

export const FORMATS: Record<string, Format> = {
  packetHeader,
  versions,
  linkFrames,
  linkFrame,
  linkParameters,
  controlRecords,
  symbolFrames,
  sessionFrames,
  datagramFrames,
  sessionParameters,
  forwardOpen,
  forwardAnswer,
  tunnelFrame,
  transferFrames,
  perfLines,
  fallbackStream,
  sealed,
};
