/** A tunnel's interface without a device, and with one that is none of the kernel's. */
import { afterEach, expect, test, vi } from "vitest";
import type { Log } from "../../src/proxy/log.ts";
import { openTun, type TunDevice, TunError } from "../../src/tun/index.ts";
import { parseNetwork } from "../../src/tun/network.ts";
import { TunPort } from "../../src/tunnel/tun-port.ts";
import { silentLog } from "../proxy/local.ts";

vi.mock(import("../../src/tun/index.ts"), async (importOriginal) => ({
  ...(await importOriginal()),
  openTun: vi.fn(),
}));
afterEach(() => void vi.useRealTimers());

class FakeDevice {
  readonly name = "bats0";
  isUp: boolean | null = true;
  /** What the kernel answers. */
  error: string | null = null;
  mtu = 1500;
  readonly calls: string[] = [];
  readonly counters = { readMalformed: 0, writeMalformed: 0, writeErrors: {} };
  onGone: (error: Error) => void = () => {};
  start = () => {};
  unref = () => {};
  close = async () => {};
  setMtu = (mtu: number) => this.#take(`mtu ${mtu}`);
  addAddress = (network: string) => this.#take(`address ${network}`);
  addRoute = (network: string) => this.#take(`route ${network}`);
  removeRoute = (network: string) => this.#take(`no route ${network}`);

  #take(call: string): void {
    this.calls.push(call);
    if (this.error !== null) throw new TunError("refused", this.error);
  }
}

/** An open port whose device is a fake, as all that it opens later. */
async function openPort(mtu: number | undefined = undefined) {
  vi.useFakeTimers();
  const devices: FakeDevice[] = [];
  vi.mocked(openTun).mockImplementation(async () => {
    devices.push(new FakeDevice());
    return devices.at(-1) as unknown as TunDevice;
  });
  const port = new TunPort({ name: "bats0", addresses: [], mtu, log: silentLog });
  await port.open();
  return { port, devices };
}

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

test("a look at the interface that fails does not say that it is off", async () => {
  const { port, devices } = await openPort(1400);
  let reopened = 0;
  port.onReopened = () => reopened++;
  for (const [isUp, times] of [
    [null, 0],
    [true, 0],
    [false, 0],
    [null, 0],
    [true, 1],
  ] as const) {
    devices[0].isUp = isUp;
    vi.advanceTimersByTime(1000);
    expect(reopened).toBe(times);
  }
});

test("an MTU that was not allowed is not tried again on that device; one that failed is, and both on the next", async () => {
  const { port, devices } = await openPort();
  const [device] = devices;
  device.error = "EINVAL";
  port.setMtu(1390);
  device.error = "EPERM";
  port.setMtu(1395);
  port.setMtu(1400);
  expect(device.calls).toEqual(["mtu 1380", "mtu 1390", "mtu 1395"]);
  device.onGone(new Error("gone"));
  await vi.advanceTimersByTimeAsync(500);
  expect(devices[1].calls).toEqual(["mtu 1400"]);
});

test("a route that is there when the interface is switched on again is still taken away at last; another's is not", async () => {
  const { port, devices } = await openPort(1400);
  const [device] = devices;
  const [ours, another] = ["192.168.7.0/24", "192.168.8.0/24"].map((text) => parseNetwork(text, "route"));
  expect(port.addRoute(ours)).toBe(true);
  device.error = "EEXIST";
  expect(port.addRoute(another)).toBe(false);
  for (const isUp of [false, true]) {
    device.isUp = isUp;
    vi.advanceTimersByTime(1000);
  }
  device.error = null;
  port.removeRoute(ours);
  port.removeRoute(another);
  expect(device.calls).toEqual([
    ...["route 192.168.7.0/24", "route 192.168.8.0/24", "route 192.168.7.0/24"],
    "no route 192.168.7.0/24",
  ]);
});
