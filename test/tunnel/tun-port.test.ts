/** A tunnel's interface without a device. */
import { expect, test } from "vitest";
import type { Log } from "../../src/proxy/log.ts";
import { parseNetwork } from "../../src/tun/network.ts";
import { TunPort } from "../../src/tunnel/tun-port.ts";

function portWith(...addresses: string[]): { port: TunPort; warnings: string[] } {
  const warnings: string[] = [];
  const log: Log = {
    debug: () => {},
    info: () => {},
    warn: (_, message) => warnings.push(message),
    error: () => {},
  };
  const port = new TunPort({
    name: "bats0",
    addresses: addresses.map((text) => parseNetwork(text, "own")),
    mtu: 1400,
    log,
  });
  return { port, warnings };
}

test("without an address of an IP version there are no errors to send, and the log says so once", () => {
  const { port, warnings } = portWith("10.20.0.1/24");
  expect(port.errorSource(4)).toEqual(Uint8Array.from([10, 20, 0, 1]));
  expect(warnings).toEqual([]);
  expect(port.errorSource(16)).toBeNull();
  expect(port.errorSource(16)).toBeNull();
  expect(warnings).toEqual([expect.stringMatching(/^bats0: has no IPv6 address: .* is not told$/)]);
});
