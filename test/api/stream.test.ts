import { createHash } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { BatsError, Stream } from "../../src/index.ts";
import { drain, pair, pour, streamPair } from "./support.ts";

/** The error that a stream is destroyed with. */
async function failure(stream: Stream): Promise<BatsError> {
  const [error] = (await once(stream, "error")) as [BatsError];
  return error;
}

describe("a stream over real sockets", () => {
  it("carries 50 MB there and back, whole", async () => {
    const { client, server } = await pair();
    server.on("stream", (stream) => stream.pipe(stream));
    const stream = client.openStream();
    const bytes = 50_000_000;
    const [sent, back] = await Promise.all([pour(stream, bytes), drain(stream)]);
    expect(back).toEqual({ bytes, sha1: sent });
  });

  it("shares a session with 200 others, opened from both ends", async () => {
    const { client, server } = await pair();
    for (const end of [client, server]) end.on("stream", (stream) => stream.pipe(stream));
    const echoes = Array.from({ length: 200 }, async (_, i) => {
      const stream = (i % 2 === 0 ? client : server).openStream();
      const bytes = 1000 + i * 997;
      const [sent, back] = await Promise.all([pour(stream, bytes, i), drain(stream)]);
      expect(back).toEqual({ bytes, sha1: sent });
    });
    await Promise.all(echoes);
    await expect.poll(() => [client.streamCount, server.streamCount]).toEqual([0, 0]);
  });

  it("carries 20 MB whole to a reader that releases chunks, beside one that keeps its own", async () => {
    const { client, server } = await pair();
    const bytes = 20_000_000;
    const kept: Buffer[] = [];
    const carry = async ({ near, far }: { near: Stream; far: Stream }, keep: boolean): Promise<void> => {
      const hash = createHash("sha1");
      const held: Buffer[] = [];
      const read = () => {
        const chunk = held.shift()!;
        hash.update(chunk);
        if (keep) kept.push(chunk);
        else far.release(chunk);
      };
      if (!keep) far.startReleasing();
      far.on("data", (chunk: Buffer) => {
        held.push(chunk);
        if (held.length > 5) read();
      });
      const [sent] = await Promise.all([pour(near, bytes, keep ? 1 : 2), once(far, "end")]);
      while (held.length > 0) read();
      expect(hash.digest("hex")).toBe(sent);
      if (!keep) return;
      const again = createHash("sha1");
      for (const chunk of kept) again.update(chunk);
      expect(again.digest("hex")).toBe(sent);
    };
    const keeping = await streamPair(client, server);
    const releasing = await streamPair(client, server);
    await Promise.all([carry(keeping, true), carry(releasing, false)]);
  });

  it("ends one half while the other goes on", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    near.end();
    expect((await drain(far)).bytes).toBe(0);
    expect(far.writable).toBe(true);
    far.write("still ");
    await sleep(20);
    far.end("here");
    expect((await near.setEncoding("utf8").toArray()).join("")).toBe("still here");
  });

  it("is an error, never an end, at the peer of one that reset it", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    near.write(Buffer.alloc(100_000));
    const failed = failure(far);
    let ended = false;
    far.on("end", () => {
      ended = true;
    });
    far.resume();
    near.reset(77);
    const error = await failed;
    expect(error.code).toBe("ERR_BATS_STREAM_RESET");
    expect(error.resetCode).toBe(77);
    expect(ended).toBe(false);
    expect(near.destroyed).toBe(true);
  });

  it("is an error at the peer of one that destroyed it in mid-transfer", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    const failed = failure(far);
    far.resume();
    near.write("half a sen");
    near.destroy();
    expect((await failed).code).toBe("ERR_BATS_STREAM_RESET");
  });

  it("tells a writer that its reader has gone", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    const failed = failure(near);
    far.end();
    near.resume();
    await once(near, "end");
    far.destroy();
    near.write("to nobody");
    expect((await failed).code).toBe("ERR_BATS_STREAM_RESET");
  });

  it("still delivers what was ended properly before it was destroyed", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    far.end();
    near.resume();
    await once(near, "end");
    const got = far.setEncoding("utf8").toArray();
    near.end("last words");
    near.destroy();
    expect((await got).join("")).toBe("last words");
  });

  it("holds a writer back when its reader is slow, in bounded memory", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    const chunk = Buffer.alloc(1 << 20);
    let written = 0;
    let blocked = false;
    const total = 100;
    void (async () => {
      for (; written < total; written++) {
        if (near.write(chunk)) continue;
        const waiting = setTimeout(() => {
          blocked = true;
        }, 500);
        await once(near, "drain");
        clearTimeout(waiting);
      }
      near.end();
    })();
    await expect.poll(() => blocked, { timeout: 20_000 }).toBe(true);
    // The window of a session and what both ends keep besides.
    expect(written).toBeLessThan(70);
    expect((await drain(far)).bytes).toBe(total * chunk.length);
  });

  it("hands over small pieces joined", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    let pieces = 0;
    let bytes = 0;
    far.on("data", (chunk: Buffer) => {
      pieces++;
      bytes += chunk.length;
    });
    near.cork();
    for (let i = 0; i < 10_000; i++) near.write("0123456789");
    near.uncork();
    near.end();
    await once(far, "end");
    expect(bytes).toBe(100_000);
    expect(pieces).toBeLessThan(1000);
  });

  it("emits 'timeout' when it is quiet, as a socket does", async () => {
    const { client, server } = await pair();
    const { near } = await streamPair(client, server);
    near.setTimeout(30);
    await once(near, "timeout");
    expect(near.destroyed).toBe(false);
  });

  it("refuses a reset code that is none", async () => {
    const { client } = await pair();
    const stream = client.openStream();
    expect(() => stream.reset(-1)).toThrow(/reset code is -1, wanted an integer/);
    stream.destroy();
  });
});
