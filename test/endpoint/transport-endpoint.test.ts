// Endpoints without sockets: datagrams are handed from one to the other.
import { describe, expect, it } from "vitest";
import type { LinkObserver, RoutedLink } from "../../src/endpoint/routed-link.ts";
import { TransportEndpoint } from "../../src/endpoint/transport-endpoint.ts";
import { AddressTokens, ResetTokens } from "../../src/tls/index.ts";
import type { Address } from "../../src/transport/address.ts";
import { StandInHandshake, standInProtection } from "../../src/transport/link/index.ts";
import { Bookkeeper, coder, createTransmit, FixedWindow, seededBytes } from "../transport/harness.ts";

class Observer implements LinkObserver {
  routed!: RoutedLink;
  user = new Bookkeeper();
  removedMs = Number.NaN;
  progressed(): void {}
  removed(nowMs: number): void {
    this.removedMs = nowMs;
  }
}

interface Sent {
  bytes: Uint8Array;
  to: Address;
  from: Address;
}

/** An endpoint at an address, and what it has sent. */
class Node {
  readonly address: Address;
  readonly endpoint: TransportEndpoint;
  readonly accepted: Observer[] = [];
  readonly #random: (bytes: Uint8Array) => void;
  readonly #transmit = createTransmit();

  constructor(
    port: number,
    options: { listens?: boolean; maximumUnvalidated?: number; maximumHandshakes?: number; resetKey?: Uint8Array } = {},
  ) {
    this.address = { ip: "192.0.2.1", port };
    this.#random = seededBytes(port);
    const resetTokens = new ResetTokens(options.resetKey ?? new Uint8Array(32).fill(port));
    this.endpoint = new TransportEndpoint({
      protection: standInProtection,
      coder,
      random: this.#random,
      resetToken: (id) => resetTokens.tokenFor(id),
      ...(options.maximumUnvalidated === undefined ? {} : { maximumUnvalidated: options.maximumUnvalidated }),
      ...(options.maximumHandshakes === undefined ? {} : { maximumHandshakes: options.maximumHandshakes }),
    });
    if (options.listens !== true) return;
    this.endpoint.acceptor = {
      tokens: new AddressTokens(),
      accept: () => {
        const observer = new Observer();
        this.accepted.push(observer);
        return { settings: this.#settings("server", observer), observer };
      },
    };
  }

  dial(to: Node, nowMs = 0): Observer {
    const observer = new Observer();
    this.endpoint.connect(to.address, this.#settings("client", observer), observer, nowMs);
    return observer;
  }

  #settings(role: "client" | "server", { user }: Observer) {
    const hello = new Uint8Array(16);
    this.#random(hello);
    return {
      user,
      handshake: new StandInHandshake({ role, random: hello }),
      congestion: new FixedWindow(256 * 1024, 12_000, false),
    };
  }

  send(nowMs: number): Sent[] {
    const all: Sent[] = [];
    const transmit = this.#transmit;
    for (;;) {
      transmit.length = 0;
      transmit.destination = null;
      if (!this.endpoint.pollTransmit(transmit, nowMs)) return all;
      all.push({ bytes: transmit.buffer.slice(0, transmit.length), to: transmit.destination!, from: this.address });
    }
  }

  take(bytes: Uint8Array, source: Address, nowMs: number, waitedMs = 0): void {
    this.endpoint.handleDatagram({ bytes, source, destination: this.address, ecn: 0, waitedMs }, nowMs);
  }
}

/** Lets time pass from `fromMs` on in steps of 1 ms, with 1 ms from node to node. */
function run(nodes: Node[], fromMs: number, ms: number): number {
  let flying: Sent[] = [];
  for (let nowMs = fromMs; nowMs < fromMs + ms; nowMs++) {
    for (const { bytes, to, from } of flying) {
      nodes.find(({ address }) => address.port === to.port)?.take(bytes, from, nowMs);
    }
    flying = [];
    for (const node of nodes) {
      if (node.endpoint.nextTimeoutMs() <= nowMs) node.endpoint.handleTimeout(nowMs);
      while (node.endpoint.progress(nowMs));
      flying.push(...node.send(nowMs));
    }
  }
  return fromMs + ms;
}

/** The first datagram of a new link to `server`. */
function firstPacket(server: Node, port: number): Uint8Array {
  const client = new Node(port);
  client.dial(server);
  return client.send(0)[0].bytes;
}

describe("an endpoint", () => {
  it("serves many links on one port, each with its own data", () => {
    const server = new Node(1, { listens: true });
    const clients = Array.from({ length: 20 }, (_, i) => new Node(100 + i));
    const links = clients.map((client) => client.dial(server));
    let nowMs = run([server, ...clients], 0, 200);
    expect(server.endpoint.linkCount).toBe(20);
    links.forEach(({ user, routed }, i) => {
      user.budget = i + 1;
      clients[i].endpoint.wake(routed);
    });
    nowMs = run([server, ...clients], nowMs, 200);
    expect(server.accepted.map(({ user }) => user.receivedCount).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  });

  it("listens and dials on one port at once", () => {
    const [a, b] = [new Node(1, { listens: true }), new Node(2, { listens: true })];
    const [there, back] = [a.dial(b), b.dial(a)];
    run([a, b], 0, 200);
    expect([there, back].map(({ routed }) => routed.link.state)).toEqual(["established", "established"]);
    expect([a.accepted.length, b.accepted.length]).toEqual([1, 1]);
  });

  it("forgets a link when it is closed, and all its ids", () => {
    const [client, server] = [new Node(2), new Node(1, { listens: true })];
    const { routed } = client.dial(server);
    let nowMs = run([client, server], 0, 200);
    routed.link.close(0x100, "enough", nowMs);
    client.endpoint.wake(routed);
    nowMs = run([client, server], nowMs, 2000);
    expect([client.endpoint.linkCount, server.endpoint.linkCount]).toEqual([0, 0]);
    expect(server.accepted[0].user.closedReason).toMatchObject({ cause: "peer", code: 0x100, text: "enough" });
    expect(Number.isNaN(server.accepted[0].removedMs)).toBe(false);
    expect(client.endpoint.nextTimeoutMs()).toBe(Number.POSITIVE_INFINITY);
  });

  it("keeps no state for clients beyond its bound of unproved ones, who get in by a retry", () => {
    const server = new Node(1, { listens: true, maximumUnvalidated: 2 });
    for (let i = 0; i < 5; i++) server.take(firstPacket(server, 50 + i), { ip: "198.51.100.9", port: 50 + i }, 0);
    expect(server.endpoint.linkCount).toBe(2);
    expect(server.endpoint.counters.retries).toBe(3);
    const client = new Node(9);
    const { routed } = client.dial(server);
    run([client, server], 0, 200);
    expect(routed.link.state).toBe("established");
    expect(server.endpoint.counters.retries).toBeGreaterThan(3);
    expect(server.endpoint.unvalidatedCount).toBe(2);
  });

  it("that is behind with its work finishes handshakes before it begins others", () => {
    const server = new Node(1, { listens: true });
    const take = (i: number, waitedMs: number) =>
      server.take(firstPacket(server, 50 + i), { ip: "198.51.100.9", port: 50 + i }, 0, waitedMs);
    for (let i = 0; i < 16; i++) take(i, 1000);
    expect(server.endpoint.handshakeCount).toBe(16);
    for (let i = 16; i < 20; i++) take(i, 1000);
    expect(server.endpoint.handshakeCount).toBe(16);
    expect(server.endpoint.counters.drops.busy).toBe(4);
    for (let i = 16; i < 20; i++) take(i, 50);
    expect(server.endpoint.handshakeCount).toBe(20);
  });

  it("begins no more handshakes than its bound, proved addresses or not, and counts those that end", () => {
    const server = new Node(1, { listens: true, maximumHandshakes: 3 });
    for (let i = 0; i < 5; i++) server.take(firstPacket(server, 50 + i), { ip: "198.51.100.9", port: 50 + i }, 0);
    expect(server.endpoint.handshakeCount).toBe(3);
    expect(server.endpoint.linkCount).toBe(3);
    expect(server.endpoint.counters.drops["too-many-links"]).toBe(2);
    // The three are given up in time; who comes then gets in, one after the other.
    let nowMs = run([server], 0, 40_000);
    expect(server.endpoint.handshakeCount).toBe(0);
    for (let i = 0; i < 5; i++) {
      const client = new Node(9 + i);
      const { routed } = client.dial(server, nowMs);
      nowMs = run([client, server], nowMs, 200);
      expect(routed.link.state).toBe("established");
    }
    expect(server.endpoint.handshakeCount).toBe(0);
  });

  it("answers a strange version with those it knows, and only large packets", () => {
    const server = new Node(1, { listens: true });
    const strange = firstPacket(server, 5);
    strange.set([9, 9, 9, 9], 1);
    server.take(strange.slice(0, 600), { ip: "198.51.100.9", port: 5 }, 0);
    expect(server.send(0)).toEqual([]);
    server.take(strange, { ip: "198.51.100.9", port: 5 }, 0);
    const [answer] = server.send(0);
    expect([...answer.bytes.subarray(1, 5)]).toEqual([0, 0, 0, 0]);
    expect(answer.bytes.length).toBeLessThan(strange.length / 20);
    expect(server.endpoint.linkCount).toBe(0);
  });

  it("makes no link of a first packet that is too short, damaged, or a copy of one that did", () => {
    const server = new Node(1, { listens: true });
    const source = { ip: "198.51.100.9", port: 5 };
    const packet = firstPacket(server, 5);
    server.take(packet.slice(0, 1199), source, 0);
    const damaged = packet.slice();
    damaged[700] ^= 1;
    server.take(damaged, source, 0);
    expect(server.accepted.length).toBe(0);
    expect(server.send(0)).toEqual([]);
    server.take(packet.slice(), source, 0);
    server.take(packet.slice(), source, 0);
    expect(server.accepted.length).toBe(1);
  });

  it("lets a peer know by a stateless reset that it lost its link, even after a restart with the same key", () => {
    const resetKey = new Uint8Array(32).fill(77);
    const [client, server] = [new Node(2), new Node(1, { listens: true, resetKey })];
    const { user, routed } = client.dial(server);
    let nowMs = run([client, server], 0, 200);
    const restarted = new Node(1, { listens: true, resetKey });
    user.budget = 1;
    client.endpoint.wake(routed);
    nowMs = run([client, restarted], nowMs, 100);
    expect(user.closedReason).toMatchObject({ cause: "reset" });
    expect(restarted.endpoint.counters.statelessResets).toBeGreaterThan(0);
  });

  it("answers strangers rarely, with less than they sent, and clients not at all", () => {
    const [client, server] = [new Node(2), new Node(1, { listens: true })];
    const noise = new Uint8Array(100).fill(0x41);
    let answers = 0;
    for (let i = 0; i < 5000; i++) {
      noise[3] = i;
      server.take(noise.slice(), { ip: "198.51.100.9", port: 9 }, i / 100);
      client.take(noise.slice(), { ip: "198.51.100.9", port: 9 }, i / 100);
      for (const { bytes } of server.send(i / 100)) {
        answers++;
        expect(bytes.length).toBeLessThan(noise.length);
      }
      expect(client.send(i / 100)).toEqual([]);
    }
    expect(answers).toBeGreaterThan(50);
    expect(answers).toBeLessThan(200);
    expect(server.endpoint.linkCount).toBe(0);
  });

  it("gives links their turns: one that always has something to send starves nobody", () => {
    const server = new Node(1, { listens: true });
    const clients = [new Node(2), new Node(3)];
    const observers = clients.map((client) => client.dial(server));
    const nowMs = run([server, ...clients], 0, 200);
    void observers;
    const [greedy, modest] = server.accepted;
    greedy.user.budget = 1e6;
    modest.user.budget = 1;
    server.endpoint.wake(greedy.routed);
    server.endpoint.wake(modest.routed);
    const sent = server.send(nowMs);
    const turn = sent.findIndex(({ to }) => to.port === modest.routed.link.remote.port);
    expect(turn).toBeGreaterThanOrEqual(0);
    expect(turn).toBeLessThan(64);
  });
});
