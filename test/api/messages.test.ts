import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { Session } from "../../src/index.ts";
import { Relay } from "./relay.ts";
import { closeLater, dial, listener, pair } from "./support.ts";

/** Collects what an event brings. */
function collect(session: Session, event: "message" | "datagram"): Buffer[] {
  const got: Buffer[] = [];
  session.on(event, (data: Buffer) => got.push(data));
  return got;
}

describe("messages", () => {
  it("arrive whole, once and in order, of any size, both ways", async () => {
    const { client, server } = await pair();
    const [there, back] = [collect(server, "message"), collect(client, "message")];
    const sizes = [0, 1, 1000, 5_000_000, 3, 16 * 2 ** 20];
    for (const [i, size] of sizes.entries()) {
      await client.sendMessage(Buffer.alloc(size, i));
      await server.sendMessage(Buffer.alloc(size, i));
    }
    for (const got of [there, back]) {
      await expect.poll(() => got.length, { timeout: 20_000 }).toBe(sizes.length);
      expect(got.map(({ length }) => length)).toEqual(sizes);
      got.forEach((data, i) => {
        expect(data.every((byte) => byte === i)).toBe(true);
      });
    }
  });

  it("hold the sender back while the peer is out of reach, and all arrive in the end", async () => {
    const listening = await listener();
    const relay = closeLater(await Relay.open(listening.address.port));
    const accepted = once(listening, "session");
    const client = await dial(relay.port);
    const [server] = (await accepted) as [Session];
    const got = collect(server, "message");
    await client.sendMessage("before");
    await expect.poll(() => got.length).toBe(1);
    relay.blocked = true;
    let taken = 0;
    const sends = Array.from({ length: 40 }, async () => {
      await client.sendMessage(Buffer.alloc(1_000_000));
      taken++;
    });
    await once(client, "suspended");
    expect(taken).toBeLessThan(40);
    relay.blocked = false;
    await Promise.all(sends);
    await expect.poll(() => got.length, { timeout: 20_000 }).toBe(41);
  });

  it("are refused when they are larger than the peer takes", async () => {
    const { client } = await pair({ listen: { largestMessage: 1000 } });
    await expect(client.sendMessage(Buffer.alloc(1001))).rejects.toMatchObject({ code: "ERR_BATS_TOO_LARGE" });
    await client.sendMessage(Buffer.alloc(1000));
  });

  it("that were not taken are rejected when the session ends, and so are later ones", async () => {
    const { client } = await pair();
    const sends = Array.from({ length: 200 }, () => client.sendMessage(Buffer.alloc(1_000_000)));
    const settled = Promise.allSettled(sends);
    client.destroy();
    const rejected = (await settled).filter(({ status }) => status === "rejected");
    expect(rejected.length).toBeGreaterThan(50);
    await expect(client.sendMessage("late")).rejects.toMatchObject({ code: "ERR_BATS_SESSION_CLOSED" });
  });
});

describe("datagrams", () => {
  it("keep their boundaries, small and large, over a path that loses some", async () => {
    const listening = await listener();
    const relay = closeLater(await Relay.open(listening.address.port, { loss: 0.05, delayMs: 2, seed: 9 }));
    const accepted = once(listening, "session");
    const client = await dial(relay.port, { redundancy: "latency" });
    const [server] = (await accepted) as [Session];
    const got = collect(server, "datagram");
    let taken = 0;
    let bytes = 0;
    for (let i = 0; i < 300; i++) {
      const data = Buffer.alloc(i % 50 === 0 ? 30_000 : 100 + i, i & 255);
      if (client.sendDatagram(data)) taken++;
      bytes += data.length;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(taken).toBe(300);
    await expect.poll(() => got.length, { timeout: 3000 }).toBeGreaterThan(290);
    for (const data of got) expect(data.every((byte) => byte === data[0])).toBe(true);
    const closed = once(server, "close");
    await client.close();
    await closed;
    const received = got.reduce((sum, { length }) => sum + length, 0);
    // Whoever keeps accounts asks when the session is over.
    expect(client.stats()).toMatchObject({ datagramsSent: 300, datagramBytesSent: bytes });
    expect(server.stats()).toMatchObject({ datagramsReceived: got.length, datagramBytesReceived: received });
  });

  it("are dropped, and said to be, when more wait than the path takes", async () => {
    const { client } = await pair();
    let dropped = 0;
    for (let i = 0; i < 100; i++) if (!client.sendDatagram(Buffer.alloc(60_000))) dropped++;
    expect(dropped).toBeGreaterThan(50);
    expect(client.stats().datagramsRefused).toBe(dropped);
  });

  it("are refused with an error when they are too long", async () => {
    const { client } = await pair();
    expect(() => client.sendDatagram(Buffer.alloc(65_508))).toThrow(/65508 bytes, wanted at most 65507/);
  });
});
