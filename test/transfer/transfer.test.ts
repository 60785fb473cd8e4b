/** Both ends of a transfer, over a real session on the loopback address. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { Claims } from "../../src/transfer/claims.ts";
import { isStreamError } from "../../src/transfer/errors.ts";
import { Outbox } from "../../src/transfer/outbox.ts";
import { OutgoingFile } from "../../src/transfer/outgoing-file.ts";
import { partialOf } from "../../src/transfer/paths.ts";
import { findRoots } from "../../src/transfer/tree.ts";
import { until } from "../proxy/local.ts";
import { fill, folder, start, transfer } from "./support.ts";

/** How long it takes to look at a file again. */
const looking = vi.hoisted(() => ({ ms: 0 }));
vi.mock("../../src/transfer/tree.ts", async (original) => {
  const tree = await original<typeof import("../../src/transfer/tree.ts")>();
  const describe: typeof tree.describe = async (...file) => {
    await new Promise((resolve) => setTimeout(resolve, looking.ms));
    return tree.describe(...file);
  };
  return { ...tree, describe };
});

/** Slow enough to be stopped on the way. */
const SLOW = { congestion: { fixedRateBps: 8e6 } } as const;

function partialIn(to: string, path: string): string {
  return join(to, partialOf(Buffer.from(path)).toString());
}

describe("a transfer", () => {
  it("brings files, folders and links with their names, modes and times, whole", async () => {
    const from = folder();
    const big = randomBytes(3_000_000);
    fill(from, { "tree/a/b/c": "deep", "tree/empty": "", "tree/big": big, "tree/ü é\n'*": "odd", "one.txt": "1" });
    mkdirSync(join(from, "tree/no files"));
    writeFileSync(Buffer.concat([Buffer.from(`${from}/tree/`), Buffer.of(0xff, 0x80)]), "bytes");
    symlinkSync("big", join(from, "tree/link"));
    symlinkSync("../nowhere", join(from, "tree/a/dangling"));
    chmodSync(join(from, "tree/a/b/c"), 0o4751);
    utimesSync(join(from, "tree/big"), 1e9, 981173106.789012);
    utimesSync(join(from, "tree/a/b"), 1e9, 981173106.5);
    chmodSync(join(from, "tree/a/b"), 0o555);
    const to = folder();
    const { sent, received } = await transfer([join(from, "tree"), join(from, "one.txt")], to);
    expect(readFileSync(join(to, "tree/big")).equals(big)).toBe(true);
    expect(readFileSync(join(to, "tree/a/b/c"), "utf8")).toBe("deep");
    expect(readFileSync(join(to, "tree/ü é\n'*"), "utf8")).toBe("odd");
    expect(readFileSync(Buffer.concat([Buffer.from(`${to}/tree/`), Buffer.of(0xff, 0x80)]), "utf8")).toBe("bytes");
    expect(statSync(join(to, "tree/empty")).size).toBe(0);
    expect(readdirSync(join(to, "tree/no files"))).toEqual([]);
    expect(readlinkSync(join(to, "tree/link"))).toBe("big");
    expect(readlinkSync(join(to, "tree/a/dangling"))).toBe("../nowhere");
    // Without the bit that would let it run as somebody else.
    expect(statSync(join(to, "tree/a/b/c")).mode & 0o7777).toBe(0o751);
    expect(statSync(join(to, "tree/a/b")).mode & 0o7777).toBe(0o555);
    expect(statSync(join(to, "tree/a/b")).mtimeMs).toBe(981173106500);
    expect(statSync(join(to, "tree/big")).mtimeMs).toBeCloseTo(statSync(join(from, "tree/big")).mtimeMs, 2);
    for (const progress of [sent, received]) {
      expect(progress).toMatchObject({ files: 6, doneFiles: 6, unchangedFiles: 0, failed: 0, problems: [] });
      expect(progress.position).toBe(progress.bytes);
      expect(progress.movedBytes).toBe(progress.bytes);
    }
    chmodSync(join(from, "tree/a/b"), 0o755);
    chmodSync(join(to, "tree/a/b"), 0o755);
  });

  it("goes the other way, too, and compressed", async () => {
    const from = folder();
    fill(from, { "image.bin": Buffer.alloc(2_000_000, "compressible ") });
    const to = folder();
    const { client } = await transfer([join(from, "image.bin")], to, { reverse: true, send: { compress: true } });
    expect(readFileSync(join(to, "image.bin")).equals(readFileSync(join(from, "image.bin")))).toBe(true);
    expect(client.stats().receivedBytes).toBeLessThan(1_000_000);
  });

  it("of thousands of small files takes a few round trips", async () => {
    const from = folder();
    for (let i = 0; i < 3000; i++) fill(from, { [`many/${i % 7}/${i}`]: `file ${i}` });
    const to = folder();
    const { received, server } = await transfer([join(from, "many")], to);
    expect(received).toMatchObject({ doneFiles: 3000, failed: 0 });
    expect(readFileSync(join(to, `many/${2999 % 7}/2999`), "utf8")).toBe("file 2999");
    expect(server.streamCount).toBeLessThan(10);
  });

  it("replaces what has changed, and only that, by size and hash, or by size and time", async () => {
    const from = folder();
    fill(from, { "t/same": "same", "t/other": "old old", "t/touched": "touched", "t/longer": "short" });
    const to = folder();
    await transfer([join(from, "t")], to);
    fill(from, { "t/other": "new new", "t/longer": "much longer" });
    utimesSync(join(from, "t/touched"), 1e9, 1e9);
    const { received, sent } = await transfer([join(from, "t")], to);
    expect(received).toMatchObject({ files: 4, doneFiles: 4, unchangedFiles: 2 });
    expect(sent.movedBytes).toBe("new new".length + "much longer".length);
    expect(readFileSync(join(to, "t/other"), "utf8")).toBe("new new");
    expect(statSync(join(to, "t/touched")).mtimeMs).toBe(1e12);
    // Where times are trusted, what is read is the folder's listing: a change that hides behind size and time is not seen.
    writeFileSync(join(from, "t/same"), "SAME");
    const { mtimeMs } = statSync(join(to, "t/same"));
    utimesSync(join(from, "t/same"), mtimeMs / 1000, mtimeMs / 1000);
    const trusting = await transfer([join(from, "t")], to, { send: { trustTimes: true } });
    expect(trusting.received).toMatchObject({ doneFiles: 4, unchangedFiles: 4, movedBytes: 0 });
    const reading = await transfer([join(from, "t")], to);
    expect(reading.received.unchangedFiles).toBe(3);
    expect(readFileSync(join(to, "t/same"), "utf8")).toBe("SAME");
  });
});

describe("a file that has grown since the last time", () => {
  it("comes from where it was on, when the older one is its beginning", async () => {
    const from = folder();
    const log = randomBytes(200_000);
    fill(from, { log, other: log });
    const to = folder();
    await transfer([join(from, "log"), join(from, "other")], to);
    const more = randomBytes(5000);
    fill(from, { log: Buffer.concat([log, more]), other: Buffer.concat([more, log]) });
    const { received } = await transfer([join(from, "log"), join(from, "other")], to);
    expect(received).toMatchObject({ doneFiles: 2, unchangedFiles: 0, failed: 0 });
    expect(received.movedBytes).toBe(more.length + 205_000);
    for (const name of ["log", "other"]) {
      expect(readFileSync(join(to, name)).equals(readFileSync(join(from, name)))).toBe(true);
    }
    expect(readdirSync(to)).toEqual(["log", "other"]);
  });
});

describe("a transfer that breaks off", () => {
  it("leaves the old file in its place, and goes on with what came when it is tried again", async () => {
    const from = folder();
    const content = randomBytes(4_000_000);
    fill(from, { file: content });
    const to = folder();
    fill(to, { file: "the old one" });
    const first = await start([join(from, "file")], to, { connect: SLOW });
    await until(() => first.received.movedBytes > 200_000);
    first.client.destroy();
    const { sender, receiver } = await first.over;
    expect([sender, receiver].every((error) => error !== null)).toBe(true);
    expect(readFileSync(join(to, "file"), "utf8")).toBe("the old one");
    const here = statSync(partialIn(to, "file")).size;
    expect(here).toBeGreaterThanOrEqual(200_000);
    expect(here).toBeLessThan(content.length);

    const second = await transfer([join(from, "file")], to, { outbox: first.outbox });
    expect(second.received.movedBytes).toBe(content.length - here);
    expect(readFileSync(join(to, "file")).equals(content)).toBe(true);
    expect(readdirSync(to)).toEqual(["file"]);
    expect(second.sent.position).toBe(content.length);
  });

  it("is worth another session when the other end closed or lost this one, as by a restart", async () => {
    const from = folder();
    fill(from, { file: randomBytes(3_000_000) });
    for (const [reverse, end] of [
      [false, "close"],
      [true, "close"],
      [false, "destroy"],
    ] as const) {
      const both = await start([join(from, "file")], folder(), { reverse, connect: SLOW });
      await until(() => both.received.movedBytes > 0);
      if (end === "close") await both.server.close({ timeoutMs: 0 });
      else both.server.destroy(new Error("restart"));
      const { sender, receiver } = await both.over;
      expect(isStreamError(reverse ? receiver : sender), String(reverse ? receiver : sender)).toBe(true);
    }
  });

  it("does not go on with what is not the beginning of the file", async () => {
    const from = folder();
    const content = randomBytes(300_000);
    fill(from, { file: content });
    const to = folder();
    writeFileSync(partialIn(to, "file"), Buffer.concat([content.subarray(0, 99_999), Buffer.of(content[99_999] ^ 1)]));
    const { received } = await transfer([join(from, "file")], to);
    expect(received.movedBytes).toBe(content.length);
    expect(readFileSync(join(to, "file")).equals(content)).toBe(true);
    // One that is longer than the file is none of it, and one that is all of it needs no more than its name.
    writeFileSync(partialIn(to, "file"), Buffer.concat([content, content]));
    rmSync(join(to, "file"));
    expect((await transfer([join(from, "file")], to)).received.movedBytes).toBe(content.length);
    rmSync(join(to, "file"));
    writeFileSync(partialIn(to, "file"), content, { mode: 0o400 });
    expect((await transfer([join(from, "file")], to)).received.movedBytes).toBe(0);
    expect(readFileSync(join(to, "file")).equals(content)).toBe(true);
  });

  it("is taken over by a later session of the same node, and by no other node's", async () => {
    const from = folder();
    const content = randomBytes(3_000_000);
    fill(from, { file: content });
    const to = folder();
    const claims = new Claims();
    const first = await start([join(from, "file")], to, { claims, connect: SLOW });
    await until(() => first.received.movedBytes > 200_000);
    const stranger = await transfer([join(from, "file")], to, { claims, receive: { peer: "edge-2" } });
    expect(stranger.sent.problems).toEqual([{ path: "file", text: "is being received from another node" }]);
    const second = await transfer([join(from, "file")], to, { claims });
    expect(second.received).toMatchObject({ doneFiles: 1, failed: 0 });
    expect(second.received.movedBytes).toBeLessThan(content.length);
    expect(readFileSync(join(to, "file")).equals(content)).toBe(true);
    await first.over;
    expect(first.sent.problems).toEqual([{ path: "file", text: "is sent again by a later session of the same node" }]);
    expect(claims.size).toBe(0);
  });
});

describe("a file that changes", () => {
  it("between its announcement and its turn is announced anew", async () => {
    const from = folder();
    fill(from, { file: "before" });
    const outbox = new Outbox(await findRoots([join(from, "file")]));
    await until(() => outbox.complete);
    writeFileSync(join(from, "file"), "afterwards");
    const to = folder();
    const { sent, received } = await transfer([], to, { outbox });
    expect(readFileSync(join(to, "file"), "utf8")).toBe("afterwards");
    expect(sent).toMatchObject({ files: 1, bytes: 10, doneFiles: 1, failed: 0 });
    expect(received.failed).toBe(0);
  });

  it("all the time while it is sent is given up, and the old one stays", async () => {
    const from = folder();
    fill(from, { "t/log": Buffer.alloc(500_000), "t/other": "other" });
    const to = folder();
    fill(to, { "t/log": "old" });
    const { send } = OutgoingFile.prototype;
    const spy = vi.spyOn(OutgoingFile.prototype, "send").mockImplementation(function (this: OutgoingFile, ...rest) {
      appendFileSync(join(from, "t/log"), "x");
      return send.apply(this, rest);
    });
    const both = await start([join(from, "t")], to);
    const fates = await both.over;
    spy.mockRestore();
    expect(fates).toEqual({ sender: null, receiver: null });
    const text = expect.stringMatching(/was changed while it was sent, 3 times: send a copy that stays as it is/);
    expect(both.sent.problems).toEqual([{ path: "t/log", text }]);
    expect(both.received.problems).toEqual([{ path: "t/log", text }]);
    expect(readFileSync(join(to, "t/log"), "utf8")).toBe("old");
    expect(readFileSync(join(to, "t/other"), "utf8")).toBe("other");
  });

  it("is not forgotten when it is looked at again for so long that all others have arrived", async () => {
    const from = folder();
    fill(from, { "t/log": "x".repeat(500_000), "t/other": "other" });
    const to = folder();
    const { send } = OutgoingFile.prototype;
    let change = true;
    const spy = vi.spyOn(OutgoingFile.prototype, "send").mockImplementation(function (this: OutgoingFile, ...rest) {
      if (change) appendFileSync(join(from, "t/log"), "more");
      change = false;
      return send.apply(this, rest);
    });
    looking.ms = 300;
    const { sent, received } = await transfer([join(from, "t")], to);
    looking.ms = 0;
    spy.mockRestore();
    expect(sent).toMatchObject({ files: 2, doneFiles: 2, failed: 0 });
    expect(received.doneFiles).toBe(2);
    expect(readFileSync(join(to, "t/log"), "utf8")).toBe(`${"x".repeat(500_000)}more`);
  });

  it("or vanishes is one error among files that arrive", async () => {
    const from = folder();
    fill(from, { "t/gone": "gone", "t/stays": "stays", "t/shrinks": "shrinks", "t/z": "z" });
    const outbox = new Outbox(await findRoots([join(from, "t")]));
    await until(() => outbox.complete);
    rmSync(join(from, "t/gone"));
    truncateSync(join(from, "t/shrinks"), 2);
    const to = folder();
    const { sent, received } = await transfer([], to, { outbox });
    for (const { problems } of [sent, received]) {
      expect(problems).toEqual([{ path: "t/gone", text: "is not there any more" }]);
    }
    expect(readdirSync(join(to, "t"))).toEqual(["shrinks", "stays", "z"]);
    expect(readFileSync(join(to, "t/shrinks"), "utf8")).toBe("sh");
  });
});

describe("what is named to be sent", () => {
  it("has to be there, with a name of its own that no other has", async () => {
    const from = folder();
    fill(from, { "a/f": "", "b/f": "" });
    await expect(findRoots([join(from, "none")])).rejects.toThrow(/none: there is no such file or folder/);
    await expect(findRoots(["/"])).rejects.toThrow("/: has no name that it could get at the other end");
    await expect(findRoots([join(from, "a/f"), join(from, "b/f")])).rejects.toThrow(/another path has the name f, too/);
    expect((await findRoots([join(from, "a/")])).map(({ name }) => String(name))).toEqual(["a"]);
  });

  it("is followed when it is a link", async () => {
    const from = folder();
    fill(from, { "v2/f": "new" });
    symlinkSync("v2", join(from, "current"));
    const to = folder();
    await transfer([join(from, "current")], to);
    expect(readFileSync(join(to, "current/f"), "utf8")).toBe("new");
  });
});

describe("the folder", () => {
  it("is not left by a link in it, nor are devices and folders in it replaced", async () => {
    const from = folder();
    fill(from, { "t/through/x": "x", "t/dir": "file", "t/file/y": "y", "t/fine": "fine", "t/replaced": "file" });
    const to = folder();
    const outside = folder();
    fill(outside, { victim: "victim" });
    mkdirSync(join(to, "t/dir"), { recursive: true });
    writeFileSync(join(to, "t/file"), "in the way");
    symlinkSync(outside, join(to, "t/through"));
    symlinkSync(join(outside, "victim"), join(to, "t/replaced"));
    const { sent } = await transfer([join(from, "t")], to);
    const problems = Object.fromEntries(sent.problems.map(({ path, text }) => [path, text]));
    expect(problems).toEqual({
      "t/dir": "cannot be: there is a directory of that name",
      "t/file": "cannot be: t/file is in the folder, and no directory",
      "t/file/y": "cannot be: t/file is in the folder, and no directory",
      "t/through": "is not written through the symbolic link t/through, which is in the folder",
      "t/through/x": "is not written through the symbolic link t/through, which is in the folder",
    });
    expect(readdirSync(outside)).toEqual(["victim"]);
    expect(readFileSync(join(outside, "victim"), "utf8")).toBe("victim");
    expect(lstatSync(join(to, "t/replaced")).isFile()).toBe(true);
    expect(readFileSync(join(to, "t/fine"), "utf8")).toBe("fine");
  });

  it("takes links that lead out of it only where that was said", async () => {
    const from = folder();
    mkdirSync(join(from, "t"));
    symlinkSync("/etc/passwd", join(from, "t/absolute"));
    symlinkSync("../../up", join(from, "t/up"));
    const to = folder();
    const { sent } = await transfer([join(from, "t")], to);
    expect(sent.problems.map(({ path }) => path)).toEqual(["t/absolute", "t/up"]);
    expect(sent.problems[0].text).toContain("out of the folder: to /etc/passwd");
    expect(existsSync(join(to, "t/absolute"))).toBe(false);
    const allowed = await transfer([join(from, "t")], to, { folder: { outsideLinks: true } });
    expect(allowed.sent.failed).toBe(0);
    expect(readlinkSync(join(to, "t/up"))).toBe("../../up");
  });
});

/** A file system of 1 MiB; null where this process may not mount one. */
function mountSmall(): { path: string; unmount(): void } | null {
  const path = folder();
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "bats-test", path]).status !== 0) return null;
  return { path, unmount: () => void spawnSync("umount", [path]) };
}

describe("a disk that is full", () => {
  it("ends the transfer with one error at both ends, keeps what was there, and goes on when there is room", async (test) => {
    const small = mountSmall();
    if (small === null) return test.skip("needs to mount a file system: root");
    try {
      const from = folder();
      const content = randomBytes(900_000);
      fill(from, { "t/a": content, "t/b": "b", "t/c": "c" });
      mkdirSync(join(small.path, "t"));
      writeFileSync(join(small.path, "t/a"), "old");
      writeFileSync(join(small.path, "ballast"), Buffer.alloc(600_000));
      const both = await start([join(from, "t")], small.path);
      const { sender, receiver } = await both.over;
      const message = "the receiver cannot write t/a: no space is left on the device";
      expect(receiver).toMatchObject({ name: "TransferError", fault: "local", message });
      expect(sender).toMatchObject({ name: "TransferError", fault: "stopped", message });
      expect(readFileSync(join(small.path, "t/a"), "utf8")).toBe("old");
      rmSync(join(small.path, "ballast"));
      const { received } = await transfer([join(from, "t")], small.path);
      expect(received).toMatchObject({ doneFiles: 3, failed: 0 });
      expect(received.reusedBytes).toBeGreaterThan(100_000);
      expect(readFileSync(join(small.path, "t/a")).equals(content)).toBe(true);
    } finally {
      small.unmount();
    }
  });
});
