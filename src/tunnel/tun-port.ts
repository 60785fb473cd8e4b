/**
 * The interface of a tunnel: a TUN device that is opened again when someone deletes it, with the routes and the MTU that it had, which
 * gets back what it lost when someone switches it off and on, and whose writes are flushed once a turn.
 */

import type { Log } from "../proxy/log.ts";
import { openTun, type TunCounters, type TunDevice, TunError } from "../tun/index.ts";
import { type Network, parseNetwork } from "../tun/network.ts";
import { addCounts } from "./tunnel-drops.ts";

/** How soon a device that is gone is opened again, and how seldom that is tried at last. */
const REOPEN_MIN_MS = 500;
const REOPEN_MAX_MS = 10_000;

/** How often it is asked whether it is switched on. */
const WATCH_MS = 1000;

/** What an interface has before any path is known: what a datagram of 1472 bytes carries, or a little less. */
const INITIAL_MTU = 1380;

export interface TunPortOptions {
  name: string;
  addresses: readonly Network[];
  /** It must have this one; undefined: one that `setMtu` may change, or what it has where that is not allowed. */
  mtu: number | undefined;
  log: Log;
}

export class TunPort {
  /** Of packets from this machine: lent for the time of the call, may be written to. Set before `open`. */
  onPacket: TunDevice["onPacket"] = () => {};
  onTrain: TunDevice["onTrain"] = () => false;
  onBatchEnd: () => void = () => {};
  /** After the device was opened again, or switched on again. */
  onReopened: () => void = () => {};
  readonly #options: TunPortOptions;
  readonly #routes: Set<string> = new Set();
  /** Lengths of addresses that were wanted and are not there. */
  readonly #lacking: Set<number> = new Set();
  /** Of devices that are gone. */
  readonly #pastDrops: Record<string, number> = {};
  /** Errors of the present device that the log knows of. */
  readonly #told: Set<string> = new Set();
  #device: TunDevice | null = null;
  #mtu: number;
  #mtuRefused = false;
  #flushing = false;
  #closed = false;
  #timer: NodeJS.Timeout | null = null;
  #watchTimer: NodeJS.Timeout | null = null;

  constructor(options: TunPortOptions) {
    this.#options = options;
    this.#mtu = options.mtu ?? INITIAL_MTU;
  }

  /** The kernel's name of the interface. */
  get name(): string {
    return this.#device?.name ?? this.#options.name;
  }

  get mtu(): number {
    return this.#device?.mtu ?? this.#mtu;
  }

  get addresses(): readonly Network[] {
    return this.#options.addresses;
  }

  /** Packets that a device did not take, of all devices so far: `malformed`, and errors of the kernel by name. */
  get drops(): Record<string, number> {
    const drops = { ...this.#pastDrops };
    if (this.#device !== null) addDrops(drops, this.#device.counters);
    return drops;
  }

  /** This machine's address in the tunnel, of 4 or 16 bytes, to send errors from; null without one, which the log says once. */
  errorSource(length: number): Uint8Array | null {
    const { name, addresses, log } = this.#options;
    const found = addresses.find(({ address }) => address.length === length);
    if (found !== undefined) return found.address;
    if (!this.#lacking.has(length)) {
      this.#lacking.add(length);
      const version = length === 4 ? "IPv4" : "IPv6";
      log.warn(
        { tun: name },
        `${name}: has no ${version} address: whoever sends ${version} packets that are too long, or go nowhere, is not told`,
      );
    }
    return null;
  }

  /** Rejects with a TunError. */
  async open(): Promise<void> {
    const { name, addresses, mtu } = this.#options;
    const texts = addresses.map(({ text }) => text);
    const device = await openTun({ name, addresses: texts, ...(mtu === undefined ? {} : { mtu }) });
    if (this.#closed) {
      await device.close();
      return;
    }
    this.#device = device;
    this.#mtuRefused = false;
    device.onPacket = (packet, follows) => this.onPacket(packet, follows);
    device.onTrain = (train, segmentBytes) => this.onTrain(train, segmentBytes);
    device.onBatchEnd = () => this.onBatchEnd();
    device.onGone = (error) => this.#onGone(error);
    if (mtu === undefined) this.#applyMtu();
    for (const route of this.#routes) this.#applyRoute(route);
    device.unref();
    device.start();
    this.#watch(device, true);
  }

  /** Gives a packet to this machine; copied. False: there is no device. */
  write(packet: Uint8Array): boolean {
    const device = this.#device;
    if (device === null) return false;
    device.write(packet);
    this.#flushSoon();
    return true;
  }

  /** The same for a train, as `TunDevice.writeTrain` takes it. */
  writeTrain(train: Uint8Array, segmentBytes: number): boolean {
    const device = this.#device;
    if (device === null) return false;
    device.writeTrain(train, segmentBytes);
    // Errors are looked at then.
    this.#flushSoon();
    return true;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(this.#flush);
  }

  setMtu(mtu: number): void {
    if (mtu === this.#mtu) return;
    this.#mtu = mtu;
    this.#applyMtu();
  }

  /** An administrator's device keeps its own where this program may not set it: what is too long for the path is told so anyhow. */
  #applyMtu(): void {
    const device = this.#device;
    if (device === null || this.#mtuRefused) return;
    try {
      device.setMtu(this.#mtu);
    } catch (error) {
      this.#complain(error, `; it stays at ${device.mtu}`);
      const { code } = error as TunError;
      this.#mtuRefused = code === "EPERM" || code === "EACCES";
    }
  }

  /** False: the kernel refuses, as where there is such a route already, and the log says why. */
  addRoute({ text }: Network): boolean {
    if (this.#routes.has(text)) return true;
    this.#routes.add(text);
    const code = this.#applyRoute(text);
    // Another's, that is: not for us to add when the interface is made again.
    if (code === "EEXIST") this.#routes.delete(text);
    return code === null;
  }

  #applyRoute(text: string): string | null {
    return this.#try((device) => device.addRoute(text));
  }

  /** The code of the kernel's refusal, which is logged; null: it is done, or there is no device. */
  #try(act: (device: TunDevice) => void): string | null {
    try {
      if (this.#device !== null) act(this.#device);
      return null;
    } catch (error) {
      this.#complain(error);
      return (error as TunError).code;
    }
  }

  removeRoute({ text }: Network): void {
    if (!this.#routes.delete(text)) return;
    this.#try((device) => device.removeRoute(text));
  }

  /** All is done when this returns, as the end of a process needs it. May be called again. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#watchTimer !== null) clearTimeout(this.#watchTimer);
    const device = this.#device;
    this.#device = null;
    await device?.close();
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    const device = this.#device;
    if (device === null) return;
    device.flush();
    for (const name in device.counters.writeErrors) if (!this.#told.has(name)) this.#tell(name);
  };

  #tell(errorName: string): void {
    this.#told.add(errorName);
    const why = errorName === "EIO" ? "EIO: is the interface down?" : errorName;
    this.#options.log.warn({ tun: this.name, code: errorName }, `${this.name}: the kernel takes no packets (${why})`);
  }

  /** Who switched it off had a reason, so it is not switched on from here. */
  #watch(device: TunDevice, wasUp: boolean): void {
    this.#watchTimer = setTimeout(() => {
      if (device !== this.#device) return;
      const { name } = device;
      const isUp = device.isUp ?? wasUp;
      if (wasUp && !isUp) {
        const words = `someone switched ${name} off: nothing passes until "ip link set dev ${name} up"`;
        this.#options.log.warn({ tun: name }, words);
      } else if (!wasUp && isUp) {
        this.#options.log.info({ tun: name }, `${name}: is switched on again`);
        for (const { text } of this.#options.addresses) this.#try(() => device.addAddress(text));
        for (const route of this.#routes) this.#applyRoute(route);
        this.onReopened();
      }
      this.#watch(device, isUp);
    }, WATCH_MS).unref();
  }

  #onGone(error: Error): void {
    if (this.#device !== null) addDrops(this.#pastDrops, this.#device.counters);
    this.#device = null;
    this.#told.clear();
    this.#options.log.warn({ tun: this.#options.name }, `${error.message}; it is made again`);
    this.#reopenIn(REOPEN_MIN_MS);
  }

  #reopenIn(delayMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.open().then(
        () => {
          this.#options.log.info({ tun: this.name }, `${this.name}: is there again`);
          this.onReopened();
        },
        (error: Error) => {
          this.#complain(error);
          this.#reopenIn(Math.min(2 * delayMs, REOPEN_MAX_MS));
        },
      );
    }, delayMs);
  }

  #complain(error: unknown, consequence = ""): void {
    if (!(error instanceof TunError)) throw error;
    this.#options.log.warn({ tun: this.#options.name, code: error.code }, `${error.message}${consequence}`);
  }
}

function addDrops(drops: Record<string, number>, { readMalformed, writeMalformed, writeErrors }: TunCounters): void {
  addCounts(drops, { ...writeErrors, malformed: readMalformed + writeMalformed });
}

/** `NAME=ADDRESS/PREFIX[,ADDRESS/PREFIX]`. Throws a TunError. */
export function parseTun(text: string): { name: string; addresses: Network[] } {
  const equals = text.indexOf("=");
  if (equals < 1) {
    throw new TunError(
      `${JSON.stringify(text)}: a tunnel is NAME=ADDRESS/PREFIX[,ADDRESS/PREFIX], as in bats0=10.20.0.2/24,fd20::2/64`,
      "ERR_INVALID_ARG_VALUE",
    );
  }
  const addresses = text
    .slice(equals + 1)
    .split(",")
    .map((part) => parseNetwork(part, "an address of the tunnel"));
  return { name: text.slice(0, equals), addresses };
}
