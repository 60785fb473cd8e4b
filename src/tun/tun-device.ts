/**
 * The contract of a TUN device: an interface of this machine whose packets come to this program, and which takes packets from it.
 * Whole IP packets, IPv4 and IPv6, no link-layer header; it knows nothing of where they go. Linux has the implementation
 * (linux-tun.ts); another platform needs one class that keeps this.
 */

/** All count from the opening of the device. "Read" is what this machine sends into the interface. */
export interface TunCounters {
  readPackets: number;
  readBytes: number;
  writtenPackets: number;
  writtenBytes: number;
  /** System calls that moved packets: with offload far fewer than packets. */
  reads: number;
  writes: number;
  /** What came from the kernel and could not be made sense of. */
  readMalformed: number;
  /** What was given to `write` and is no IP packet of the length that it states, or longer than 65,535 bytes. */
  writeMalformed: number;
  /** Packets that the kernel refused, by error name: EIO while the interface is down, EINVAL, ENOBUFS, ... */
  writeErrors: Record<string, number>;
}

/** What moves many packets at a time. */
export interface TunOffloads {
  /** Checksums are left to this program, and trains of TCP segments come, and go, in one piece. */
  readonly tcp: boolean;
  /** Trains of UDP datagrams come in one piece. */
  readonly udp: boolean;
}

/** Life: open (`openTun`), set the callbacks, `start`, `close`. */
export interface TunDevice {
  /** As the kernel has it, which may have chosen the number in a name like "bats%d". */
  readonly name: string;
  readonly mtu: number;
  /** Whether it was made here and goes when this program ends; else an administrator made it, and it stays. */
  readonly created: boolean;
  /** Whether it is switched on, asked of the kernel: off, it loses what is written, its routes and its IPv6 addresses. Null: it does not say. */
  readonly isUp: boolean | null;
  readonly offloads: TunOffloads;
  readonly counters: TunCounters;
  /**
   * Takes one packet no longer than the MTU, with its checksums complete, for the time of the call: the memory holds the next one
   * afterwards. It is what any program here sent into the interface: no more than `IpPacket` finds in it is sure. It may be written
   * to, and any method called. What the callback throws is a bug and reaches the top.
   *
   * `follows`: it is the next part of what the kernel left whole, so that of the packet before it has all but length, checksums,
   * identification, sequence number and what TCP's flags say of a beginning and an end. What is true of that one's flow is of this.
   */
  onPacket: (packet: Uint8Array, follows: boolean) => void;
  /**
   * Is offered each train of TCP segments as the kernel left it, for the time of the call, before it is cut for `onPacket`: true if it was
   * taken. `train`: an IP packet of up to 64 KiB whose TCP checksum is not computed; `segmentBytes`: data in each segment, but less in the last.
   * Without it, or where it answers false, all is cut. It may be written to, unless it is not taken.
   */
  onTrain: (train: Uint8Array, segmentBytes: number) => boolean;
  /** After the last packet of each turn of the event loop. Never without a packet before it. */
  onBatchEnd: () => void;
  /** The device is gone (someone deleted the interface): nothing else comes after it. Not called for `close`. */
  onGone: (error: Error) => void;
  /** Begins to hand over packets. Once, with the callbacks set. */
  start(): void;
  /**
   * Gives one IP packet to this machine. It is copied; `flush` must follow before anything is waited for, since packets of a TCP flow
   * are held back so that several go in one piece. False: malformed, dropped and counted. What the kernel refuses is counted.
   */
  write(packet: Uint8Array): boolean;
  /**
   * Gives this machine a train of TCP segments, in one piece where it takes that: an IP packet with a `trainHeader` whose IP header is
   * right and whose TCP checksum means nothing. Copied, after what `write` holds back of its flow. False as with `write`.
   */
  writeTrain(train: Uint8Array, segmentBytes: number): boolean;
  /** Hands over what `write` holds back. Cheap when there is nothing. */
  flush(): void;
  /** Stops and goes on handing over packets; in between, the kernel queues some (its `txqueuelen`) and drops the rest. */
  pause(): void;
  resume(): void;
  /** Sets the interface's MTU; throws if it may not. Packets on their way may still be longer. */
  setMtu(mtu: number): void;
  /** Puts an address ("10.20.0.1/24") on the interface unless that has it; throws if it may not. */
  addAddress(network: string): void;
  /** Adds a route to a network ("192.168.7.0/24") over the interface, or takes away one so added; throws if it may not. */
  addRoute(network: string): void;
  removeRoute(network: string): void;
  /** Flushes, takes away what was configured, and the interface too if it was made here. May be called again. */
  close(): Promise<void>;
  /** Whether the device alone keeps the process alive: yes after `ref`, as at first; no after `unref`. */
  ref(): void;
  unref(): void;
}

export interface TunOptions {
  /** The interface's name, at most 15 bytes; "%d" in it stands for a number that the kernel chooses. */
  name: string;
  /** Its addresses with the length of their network: "10.20.0.1/24", "fd20::1/64". Default none. */
  addresses?: readonly string[];
  /** Networks to route over it, besides those of its addresses. Default none. */
  routes?: readonly string[];
  /** Bytes. Default what the interface has, 1500 for a new one. */
  mtu?: number;
  /** Whether to use what the kernel offers of offloads. Default true. */
  offload?: boolean;
}

/** Why a device cannot be opened or configured, in words that say what to do. */
export class TunError extends Error {
  override readonly name = "TunError";
  /** Of the kernel (EPERM, EBUSY, ...), or ERR_INVALID_ARG_VALUE, or ERR_FEATURE_UNAVAILABLE_ON_PLATFORM. */
  readonly code: string;

  constructor(message: string, code: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

export function emptyTunCounters(): TunCounters {
  return {
    readPackets: 0,
    readBytes: 0,
    writtenPackets: 0,
    writtenBytes: 0,
    reads: 0,
    writes: 0,
    readMalformed: 0,
    writeMalformed: 0,
    writeErrors: {},
  };
}

export function checkMtu(mtu: number | undefined): void {
  if (mtu === undefined || (Number.isInteger(mtu) && mtu >= 68 && mtu <= 65_535)) return;
  throw new TunError(`the TUN device's MTU is ${mtu}, wanted 68 to 65535 bytes`, "ERR_INVALID_ARG_VALUE");
}
