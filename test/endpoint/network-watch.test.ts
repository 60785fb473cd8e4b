import { afterEach, describe, expect, it } from "vitest";
import { NetworkWatch } from "../../src/endpoint/network-watch.ts";
import type { SocketDriver } from "../../src/endpoint/socket-driver.ts";

/** A driver with one dialled link that writes down what it is told. */
function scene() {
  const told: string[] = [];
  const link = {
    remote: { ip: "192.0.2.1", port: 1 },
    confirmed: true,
    ping: () => told.push("ping"),
    localAddressChanged: () => told.push("moved"),
  };
  const routed = { link, gone: false };
  const endpoint = { links: [routed], dialledLinks: [routed], wake: () => {} };
  const clock = { monotonicMs: 1000, wallMs: 5_000_000 };
  const network: { source: string | null } = { source: "10.0.0.1" };
  const driver = { endpoint, now: () => clock.monotonicMs, wake: () => {} } as unknown as SocketDriver;
  const watch = new NetworkWatch(driver, {
    sourceFor: async () => network.source,
    wallMs: () => clock.wallMs,
  });
  return { told, network, clock, watch };
}

let watch: NetworkWatch | null = null;

afterEach(() => watch?.stop());

describe("watching the network", () => {
  it("tells a link that its packets leave from another address", async () => {
    const made = scene();
    watch = made.watch;
    await watch.look();
    await watch.look();
    expect(made.told).toEqual([]);
    made.network.source = "10.9.9.9";
    await watch.look();
    await watch.look();
    expect(made.told).toEqual(["moved"]);
  });

  it("asks for a sign of life when a network is back, and finds a new address even then", async () => {
    const made = scene();
    watch = made.watch;
    await watch.look();
    made.network.source = null;
    await watch.look();
    await watch.look();
    expect(made.told).toEqual([]);
    made.network.source = "10.0.0.1";
    await watch.look();
    expect(made.told).toEqual(["ping"]);
    made.network.source = null;
    await watch.look();
    made.network.source = "10.9.9.9";
    await watch.look();
    expect(made.told).toEqual(["ping", "moved"]);
  });

  it("asks for a sign of life after a sleep, not when a clock is set a little or back", async () => {
    const made = scene();
    watch = made.watch;
    const pass = async (monotonicMs: number, wallMs: number): Promise<void> => {
      made.clock.monotonicMs += monotonicMs;
      made.clock.wallMs += wallMs;
      await watch!.look();
    };
    await pass(2000, 2000);
    await pass(2000, 2500);
    await pass(2000, -60_000);
    expect(made.told).toEqual([]);
    await pass(100, 600_000);
    expect(made.told).toEqual(["ping"]);
    await pass(2000, 2000);
    expect(made.told).toEqual(["ping"]);
  });
});
