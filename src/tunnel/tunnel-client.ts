/**
 * The client's end of a tunnel: an interface that is there whether there is a session or not, and in each session a request for its
 * addresses. The server is where all packets go; what it sends must be for an address that is here.
 */

import { performance } from "node:perf_hooks";
import type { CarrierStream } from "../proxy/carrier.ts";
import { HeaderError, readHeader } from "../proxy/header-reader.ts";
import type { Log } from "../proxy/log.ts";
import { decodeAnswer, encodeOpen } from "../proxy/open-header.ts";
import type { Address } from "../transport/address.ts";
import { IpPacket } from "../tun/index.ts";
import type { Network } from "../tun/network.ts";
import { largestOf, packetsOf, trainHeader } from "../tun/tcp-train.ts";
import { PacketPool } from "./fair-queue.ts";
import { destinationOf, icmpError, isUnicast, mayTell } from "./icmp.ts";
import { OwnPackets } from "./own-packets.ts";
import { clampMss, isSyn } from "./packet-edits.ts";
import { type PacketCarrier, PacketPath, type PathMemory } from "./packet-path.ts";
import { PrefixTable } from "./prefix-table.ts";
import { TokenBucket } from "./token-bucket.ts";
import { TrainAssembler } from "./train-assembler.ts";
import type { TunPort } from "./tun-port.ts";
import { TunnelCounter } from "./tunnel-counter.ts";
import { TunnelDrops } from "./tunnel-drops.ts";
import { hostOf } from "./tunnel-rules.ts";

const REFRESH_MS = 250;
/** How often the log tells, at level debug, what has passed. */
const REPORT_MS = 5000;
/** How soon a tunnel that was refused, or lost, is asked for again, and how seldom at last. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30_000;
/** A tunnel that held for less may have been taken by another host of the same name, which asks again as seldom. */
const STEADY_MS = 2 * RETRY_MAX_MS;

export interface TunnelClientOptions {
  port: TunPort;
  /** Networks behind this machine that the server shall route here. */
  routes: readonly Network[];
  mtu: number | undefined;
  log: Log;
  /** The server has granted what was asked for, in each session. */
  onGranted: (granted: string) => void;
}

export interface TunnelCarrier extends PacketCarrier {
  readonly peer: { readonly address: Address };
  readonly closed: boolean;
  openStream(): CarrierStream;
}

export class TunnelClient {
  readonly drops: TunnelDrops;
  readonly counter: TunnelCounter;
  readonly #options: TunnelClientOptions;
  /** Addresses that are here, and networks behind. */
  readonly #here = new PrefixTable<true>();
  readonly #memory: PathMemory = { pool: new PacketPool(), assembler: new TrainAssembler() };
  readonly #ip = new IpPacket();
  readonly #errors = new TokenBucket(50, 100);
  readonly #timer: NodeJS.Timeout;
  #reportMs = 0;
  #path: PacketPath | null = null;
  /** Where the packet before went, if it went: the parts of a train follow it. */
  #train: PacketPath | null = null;
  /** When the burst began that is being read; NaN before its first packet. */
  #burstMs = Number.NaN;
  /** The session that has the tunnel, and what it travels in. */
  #carrier: TunnelCarrier | null = null;
  readonly #own = new OwnPackets();
  #closed = false;

  constructor(options: TunnelClientOptions) {
    this.#options = options;
    this.drops = new TunnelDrops(options.log);
    const { port, routes } = options;
    this.counter = new TunnelCounter(this.drops, port);
    for (const { address, prefixLength } of [...port.addresses.map(hostOf), ...routes]) {
      this.#here.set(address, prefixLength, true);
    }
    port.onPacket = (packet, follows) => {
      if (follows && this.#train !== null) this.#train.sendFollowing(packet, this.#burstMs);
      else this.#fromInterface(packet, 0);
    };
    port.onTrain = (train, segmentBytes) => this.#fromInterface(train, segmentBytes);
    port.onBatchEnd = () => {
      this.#train = null;
      this.#burstMs = Number.NaN;
      this.#path?.wake();
    };
    this.#timer = setInterval(() => this.#refresh(), REFRESH_MS);
    this.#timer.unref();
  }

  /** Asks for the tunnel in a session for as long as that lives. `claim` has the session's datagrams of a stream handed over. */
  async attach(
    carrier: TunnelCarrier,
    claim: (stream: CarrierStream, receive: (payload: Uint8Array) => void) => void,
  ): Promise<void> {
    const { port, routes, log } = this.#options;
    const request = encodeOpen({
      type: "tunnel",
      addresses: port.addresses.map(({ text }) => text),
      routes: routes.map(({ text }) => text),
      trains: true,
    });
    for (let delayMs = RETRY_MIN_MS; !this.#closed && !carrier.closed; delayMs = Math.min(2 * delayMs, RETRY_MAX_MS)) {
      let stream: CarrierStream;
      try {
        stream = carrier.openStream();
      } catch {
        // It is closing.
        return;
      }
      stream.on("error", () => {});
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.write(request);
      const answer = await readHeader(stream, decodeAnswer).catch((error: Error) => {
        if (error instanceof HeaderError && !carrier.closed) {
          log.warn({ tun: port.name }, `${port.name}: no tunnel: ${error.message}`);
        }
        stream.destroy();
        return null;
      });
      if (answer?.type === "done") {
        const grantedMs = performance.now();
        const sink = {
          packet: (packet: Uint8Array) => this.#fromServer(path, packet),
          train: (train: Uint8Array, headerBytes: number, segmentBytes: number) =>
            this.#trainFromServer(train, headerBytes, segmentBytes),
        };
        const path = new PacketPath(carrier, stream.id, this.#memory, sink, answer.trains === true);
        claim(stream, (payload) => path.receive(payload, performance.now()));
        this.#path = path;
        this.counter.add(path);
        this.#carrier = carrier;
        this.#refresh();
        log.info({ tun: port.name }, `${port.name}: the tunnel is up: ${answer.address ?? ""}`);
        const has = (answer.address ?? "").split(", ");
        const missing = routes.filter(({ text }) => !has.includes(text)).map(({ text }) => text);
        if (missing.length > 0) {
          const words = `${port.name}: the server has no route to ${missing.join(", ")}: its log says why`;
          log.warn({ tun: port.name, routes: missing }, words);
        }
        this.#options.onGranted(answer.address ?? "");
        stream.resume();
        stream.once("end", () => stream.end());
        await closed;
        if (performance.now() - grantedMs >= STEADY_MS) delayMs = RETRY_MIN_MS;
        path.close();
        this.counter.end(path);
        if (this.#path === path) this.#path = null;
        if (!carrier.closed) log.warn({ tun: port.name }, `${port.name}: the server ended the tunnel`);
      } else if (answer !== null) {
        log.warn({ tun: port.name, reason: answer.reason }, `${port.name}: refused: ${answer.message}`);
        stream.end();
        stream.resume();
      }
      if (carrier.closed) return;
      await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
    }
  }

  /** The interface stays. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#path?.close();
    this.#path = null;
  }

  #refresh(): void {
    const path = this.#path;
    if (path === null) return;
    path.refresh();
    this.#own.update(this.#carrier!.peer.address);
    const nowMs = performance.now();
    if (nowMs >= this.#reportMs) {
      this.#reportMs = nowMs + REPORT_MS;
      const { name } = this.#options.port;
      this.#options.log.debug({ tun: name, ...path.summary }, `${name}: ${JSON.stringify(path.summary)}`);
    }
    if (this.#options.mtu === undefined) this.#options.port.setMtu(path.mtu);
  }

  /** Takes a packet, or a train with `segmentBytes` of data in each segment; false: that has to be cut first. */
  #fromInterface(packet: Uint8Array, segmentBytes: number): boolean {
    const ip = this.#ip;
    this.#train = null;
    const path = this.#path;
    if (!ip.parse(packet)) {
      this.drops.count("malformed", "");
      return true;
    }
    const headerBytes = segmentBytes === 0 ? 0 : trainHeader(packet, ip, segmentBytes);
    if (segmentBytes > 0 && (headerBytes === 0 || path?.takesTrains !== true)) return false;
    const packets = packetsOf(ip.totalBytes, headerBytes, segmentBytes);
    const at = ip.version === 4 ? 12 : 8;
    const length = ip.version === 4 ? 4 : 16;
    if (!isUnicast(packet, at + length, length)) {
      this.drops.count("notUnicast", "", packets);
    } else if (path === null) {
      this.drops.count("noSession", "", packets);
    } else if (this.#here.lookup(packet, at, length) === null) {
      this.drops.count("spoofed", "", packets);
    } else if (this.#own.has(packet, ip, at + length, length)) {
      this.drops.count("loop", "", packets);
    } else {
      const most = this.#options.mtu ?? path.mtu;
      if (largestOf(ip, headerBytes, segmentBytes) > most && ip.dontFragment) {
        this.drops.count("tooBig", "", packets);
        this.#tellTooBig(packet, most);
        return true;
      }
      // A burst is read in less than a millisecond.
      if (Number.isNaN(this.#burstMs)) this.#burstMs = performance.now();
      if (segmentBytes > 0) path.sendTrain(packet, ip, headerBytes, segmentBytes, this.#burstMs);
      else {
        clampMss(packet, ip, most);
        path.send(packet, ip, this.#burstMs);
        this.#train = path;
      }
    }
    return true;
  }

  /** Whether a packet or a train is one, for an address that is here; counts what is not. */
  #isForHere(packet: Uint8Array, headerBytes: number, segmentBytes: number): boolean {
    const ip = this.#ip;
    if (!ip.parse(packet) || ip.totalBytes !== packet.length) {
      this.drops.count("malformed", "");
      return false;
    }
    const at = ip.version === 4 ? 16 : 24;
    if (this.#here.lookup(packet, at, ip.version === 4 ? 4 : 16) !== null) return true;
    this.drops.count("foreign", "", packetsOf(packet.length, headerBytes, segmentBytes));
    return false;
  }

  #fromServer(path: PacketPath, packet: Uint8Array): void {
    const ip = this.#ip;
    if (!this.#isForHere(packet, 0, 0)) return;
    if (isSyn(packet, ip)) {
      const changed = packet.slice();
      clampMss(changed, ip, this.#options.mtu ?? path.mtu);
      this.#toMachine(changed);
    } else this.#toMachine(packet);
  }

  #trainFromServer(train: Uint8Array, headerBytes: number, segmentBytes: number): void {
    if (!this.#isForHere(train, headerBytes, segmentBytes)) return;
    if (this.#options.port.writeTrain(train, segmentBytes)) return;
    this.drops.count("noDevice", "", packetsOf(train.length, headerBytes, segmentBytes));
  }

  #toMachine(packet: Uint8Array): void {
    if (!this.#options.port.write(packet)) this.drops.count("noDevice", "");
  }

  #tellTooBig(packet: Uint8Array, mtu: number): void {
    const ip = this.#ip;
    if (!mayTell("too-big", packet, ip) || !this.#errors.take(performance.now())) return;
    this.#options.port.write(icmpError("too-big", packet, ip, destinationOf(packet, ip), mtu));
  }
}
