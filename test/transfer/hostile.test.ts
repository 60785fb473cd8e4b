/** Peers with a certificate that do not keep to the protocol: each against the real other end. */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Session, Stream } from "../../src/index.ts";
import { Claims } from "../../src/transfer/claims.ts";
import { awaitControlStream, openControlStream } from "../../src/transfer/control.ts";
import { Folder } from "../../src/transfer/folder.ts";
import { decodeFrame, type Entry, encodeFrame, type Frame } from "../../src/transfer/frames.ts";
import { Outbox } from "../../src/transfer/outbox.ts";
import { Progress } from "../../src/transfer/progress.ts";
import { ReceiveSession } from "../../src/transfer/receive-session.ts";
import { SendSession } from "../../src/transfer/send-session.ts";
import { findRoots } from "../../src/transfer/tree.ts";
import { pair } from "../api/support.ts";
import { until } from "../proxy/local.ts";
import { fill, folder } from "./support.ts";

/** The client of a session, by hand. */
class Peer {
  readonly session: Session;
  readonly control: Stream;
  readonly frames: Frame[] = [];
  /** Of the real end. */
  readonly over: Promise<Error | null>;

  constructor(session: Session, over: Promise<void>) {
    this.session = session;
    this.control = session.openStream();
    this.control.on("error", () => {});
    this.over = over.then(() => null).catch((error: Error) => error);
    let bytes = Buffer.alloc(0);
    this.control.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let decoded = decodeFrame(bytes, 0); decoded !== null && "end" in decoded; decoded = decodeFrame(bytes, 0)) {
        if (decoded.frame !== null) this.frames.push(decoded.frame);
        bytes = bytes.subarray(decoded.end);
      }
    });
  }

  say(...frames: Frame[]): void {
    for (const frame of frames) this.control.write(encodeFrame(frame));
  }

  /** Sends a file's stream: its number, where it begins, then bytes. */
  data(id: number, start: number, ...pieces: Buffer[]): Stream {
    const stream = this.session.openStream();
    stream.on("error", () => {});
    stream.resume();
    stream.end(Buffer.concat([Buffer.of(id, start), ...pieces]));
    return stream;
  }

  async answer<T extends Frame["type"]>(type: T, count = 1): Promise<Extract<Frame, { type: T }>> {
    const found = () => this.frames.filter((frame) => frame.type === type);
    await until(() => found().length >= count);
    return found()[count - 1] as Extract<Frame, { type: T }>;
  }
}

async function sendTo(to: string, claims = new Claims()): Promise<Peer> {
  const { client, server } = await pair();
  const receiver = new ReceiveSession(server, {
    control: awaitControlStream(server),
    trustTimes: false,
    fsync: false,
    folder: await Folder.open(to),
    claims,
    peer: "edge-1",
    progress: new Progress(),
  });
  const peer = new Peer(client, receiver.run());
  peer.say({ type: "hello", role: "sender", trustTimes: false });
  return peer;
}

async function receiveFrom(from: string): Promise<Peer> {
  const { client, server } = await pair();
  const outbox = new Outbox(await findRoots([from]));
  const sender = new SendSession(server, outbox, {
    control: awaitControlStream(server),
    trustTimes: false,
    compress: false,
  });
  const peer = new Peer(client, sender.run());
  peer.say({ type: "hello", role: "receiver", trustTimes: false });
  return peer;
}

function entry(path: string, more: Partial<Omit<Entry, "target">> & { target?: string } = {}): Entry {
  const { target = "", ...rest } = more;
  return {
    kind: "file",
    path: Buffer.from(path),
    mode: 0o644,
    mtimeUs: 1e15,
    sizeBytes: 3,
    ...rest,
    target: Buffer.from(target),
  };
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

describe("a sender that is hostile", () => {
  it("writes nothing outside of the folder, whatever it names", async () => {
    const outside = folder();
    const to = join(outside, "in");
    mkdirSync(to);
    const peer = await sendTo(to);
    const names = ["../x", "/tmp/bats-x", "a/../../x", "..", ".", "", "a\0b", "a//b", "x".repeat(256), ".x.bats-part"];
    const kinds = ["file", "directory", "link", "seal"] as const;
    let id = 0;
    for (const path of names) {
      for (const kind of kinds) peer.say({ type: "entry", id: id++, entry: entry(path, { kind, sizeBytes: 0 }) });
    }
    await peer.answer("failed", id);
    expect(peer.frames.some(({ type }) => type === "want" || type === "done")).toBe(false);
    expect(readdirSync(outside)).toEqual(["in"]);
    expect(readdirSync(to)).toEqual([]);
    peer.control.end();
    expect(await peer.over).toBe(null);
  });

  it("cannot write through links that it made, or lead one out over another", async () => {
    const outside = folder();
    const to = join(outside, "in");
    mkdirSync(to);
    mkdirSync(join(outside, "other"));
    const peer = await sendTo(to);
    peer.say({ type: "entry", id: 0, entry: entry("here", { kind: "link", target: "." }) });
    await peer.answer("done");
    const rest: [string, Partial<Entry>, string][] = [
      ["out", { kind: "link" }, "here/../other"],
      ["up", { kind: "link" }, "../other"],
      ["here/x", {}, ""],
      ["here", { kind: "directory" }, ""],
      ["here", { kind: "seal", mode: 0 }, ""],
    ];
    for (const [i, [path, more, target]] of rest.entries()) {
      peer.say({ type: "entry", id: i + 1, entry: entry(path, { ...more, target } as Parameters<typeof entry>[1]) });
    }
    await peer.answer("failed", rest.length);
    expect(readdirSync(to)).toEqual(["here"]);
    expect(lstatSync(to).mode & 0o777).not.toBe(0);
    expect(readdirSync(join(outside, "other"))).toEqual([]);
  });

  it("never gets a file under its name that has another hash or length", async () => {
    const to = folder();
    fill(to, { f: "old" });
    const wrong = await sendTo(to);
    wrong.say({ type: "entry", id: 0, entry: entry("f", { sizeBytes: 4 }) });
    await wrong.answer("want");
    wrong.data(0, 0, Buffer.from("evil"), sha256("good"));
    expect((await wrong.answer("failed")).text).toContain("another SHA-256");
    wrong.control.end();
    expect(await wrong.over).toBe(null);
    for (const pieces of [
      [Buffer.from("go")],
      [Buffer.from("good"), sha256("good").subarray(1)],
      [Buffer.from("good"), sha256("good"), Buffer.of(0)],
      [Buffer.from("good"), sha256("good"), Buffer.alloc(200_000)],
    ]) {
      const peer = await sendTo(to);
      peer.say({ type: "entry", id: 0, entry: entry("f", { sizeBytes: 4 }) });
      await peer.answer("want");
      peer.data(0, 0, ...pieces);
      expect(await peer.over).toMatchObject({ message: expect.stringContaining("another number of bytes") });
    }
    expect(readFileSync(join(to, "f"), "utf8")).toBe("old");
  });

  const bad: [string, (peer: Peer) => void, RegExp][] = [
    ["garbage", (peer) => peer.control.write(Buffer.alloc(100, 0xff)), /type above 2\^53/],
    ["a frame without end", (peer) => peer.control.write(Buffer.of(5, 0xbf, 0xff, 0xff, 0xff)), /16384 is the most/],
    ["half a frame", (peer) => peer.control.end(Buffer.of(5, 10, 1)), /middle of a frame/],
    ["an unknown frame", (peer) => peer.control.write(Buffer.of(33, 0)), /type 33/],
    ["what a receiver says", (peer) => peer.say({ type: "progress", bytes: 1 }), /only a receiver says/],
    ["ids out of turn", (peer) => peer.say({ type: "entry", id: 7, entry: entry("f") }), /announces 7 out of turn/],
    ["what it did not announce", (peer) => peer.say({ type: "same", id: 0 }), /has not announced/],
    ["data that it did not announce", (peer) => void peer.data(0, 0), /has not announced/],
    [
      "a stream without a number",
      (peer) => void peer.session.openStream().end(Buffer.alloc(20, 0xff)),
      /no number of a file/,
    ],
    [
      "an end before all is sent",
      (peer) => {
        peer.say({ type: "entry", id: 0, entry: entry("f") });
        peer.control.end();
      },
      /closed before it had sent everything/,
    ],
    [
      "more than there is room for",
      (peer) => {
        for (let id = 0; id < 3000; id++) peer.say({ type: "entry", id, entry: entry(`f${id}`) });
      },
      /more than 2048 files ahead/,
    ],
  ];
  it.each(bad)("ends the session with %s, and is told why", async (_what, act, words) => {
    const claims = new Claims();
    const peer = await sendTo(folder(), claims);
    await peer.answer("hello");
    act(peer);
    expect(await peer.over).toMatchObject({ name: "TransferError", message: expect.stringMatching(words) });
    expect((await peer.answer("stop")).text).toMatch(words);
    expect(claims.size).toBe(0);
  });

  it("ends it with data that was not asked for, sent twice, or from where nothing is", async () => {
    const acts: ((peer: Peer) => void)[] = [
      (peer) => {
        peer.data(0, 0, Buffer.from("abc"), sha256("abc"));
        peer.data(0, 0, Buffer.from("abc"), sha256("abc"));
      },
      (peer) => void peer.data(0, 2, Buffer.from("c"), sha256("abc")),
      (peer) => peer.say({ type: "same", id: 0 }),
    ];
    for (const act of acts) {
      const peer = await sendTo(folder());
      // So large that the first is not over when the second comes.
      peer.say({ type: "entry", id: 0, entry: entry("f", { sizeBytes: act === acts[0] ? 1e9 : 3 }) });
      await peer.answer("want");
      act(peer);
      expect(await peer.over).toMatchObject({ name: "TransferError" });
    }
  });

  it("that names a file twice gets the later one, and one that withdraws frees the name", async () => {
    const to = folder();
    const claims = new Claims();
    const peer = await sendTo(to, claims);
    peer.say({ type: "entry", id: 0, entry: entry("f") });
    await peer.answer("want");
    peer.say({ type: "entry", id: 1, entry: entry("f") });
    expect(await peer.answer("failed")).toMatchObject({ id: 0 });
    await peer.answer("want", 2);
    peer.say({ type: "withdrawn", id: 1 }, { type: "withdrawn", id: 0 }, { type: "entry", id: 2, entry: entry("f") });
    await peer.answer("want", 3);
    peer.data(2, 0, Buffer.from("abc"), sha256("abc"));
    await peer.answer("done");
    expect(readFileSync(join(to, "f"), "utf8")).toBe("abc");
    expect(claims.size).toBe(0);
    peer.control.end();
    expect(await peer.over).toBe(null);
  });
});

describe("a receiver that is hostile", () => {
  const bad: [string, Frame[] | Buffer, RegExp][] = [
    ["garbage", Buffer.alloc(50, 0xff), /type above 2\^53/],
    ["what a sender says", [{ type: "same", id: 0 }], /only a sender says/],
    ["what was not announced", [{ type: "done", id: 9, unchanged: false }], /was not announced/],
    [
      "an offset behind the end",
      [{ type: "want", id: 0, offset: 99, hash: Buffer.alloc(32) }],
      /asks for what there is not/,
    ],
    [
      "the same twice",
      [
        { type: "want", id: 0, offset: 0, hash: Buffer.alloc(0) },
        { type: "want", id: 0, offset: 0, hash: Buffer.alloc(0) },
      ],
      /asks for what there is not/,
    ],
    ["no file", [{ type: "want", id: 1, offset: 0, hash: Buffer.alloc(0) }], /was not announced/],
  ];
  it.each(bad)("ends the session with %s, and is told why", async (_what, said, words) => {
    const from = folder();
    fill(from, { f: "content" });
    const peer = await receiveFrom(join(from, "f"));
    await peer.answer("entry");
    if (Buffer.isBuffer(said)) peer.control.write(said);
    else peer.say(...said);
    expect(await peer.over).toMatchObject({ name: "TransferError", message: expect.stringMatching(words) });
    expect((await peer.answer("stop")).text).toMatch(words);
  });

  it("gets nothing that was not named, not even behind a link", async () => {
    const from = folder();
    fill(from, { secret: "secret", "t/f": "content" });
    symlinkSync("../secret", join(from, "t/link"));
    const peer = await receiveFrom(join(from, "t"));
    await peer.answer("totals");
    const entries = peer.frames.filter((frame) => frame.type === "entry").map((frame) => frame.entry);
    expect(entries.map(({ kind, path }) => `${kind} ${path}`)).toEqual(["directory t", "file t/f", "link t/link"]);
    peer.say({ type: "want", id: 2, offset: 0, hash: Buffer.alloc(0) });
    expect(await peer.over).toMatchObject({ message: expect.stringContaining("t/link") });
    expect(existsSync(join(from, "secret"))).toBe(true);
  });
});

describe("two ends that do not fit", () => {
  it("say so: both send, or one is something else", async () => {
    const peer = await sendTo(folder());
    peer.say({ type: "hello", role: "sender", trustTimes: false });
    expect(await peer.over).toMatchObject({ message: expect.stringContaining('"hello"') });
    const { client, server } = await pair();
    const outbox = new Outbox([]);
    const options = { trustTimes: false, compress: false };
    const fates = [
      new SendSession(server, outbox, { ...options, control: awaitControlStream(server) }),
      new SendSession(client, outbox, { ...options, control: openControlStream(client) }),
    ].map((one) => one.run().catch((error: Error) => error.message));
    expect((await Promise.all(fates)).join()).toContain(
      "the other end sends, too: one end has to be `bats-proxy receive`",
    );
  });
});
