/**
 * The C library's system calls through koffi, an optional dependency with prebuilt binaries: what Node does not offer
 * (many datagrams a call, control messages, ioctl). Only for 64-bit little-endian Linux, for which the structures of
 * the callers are laid out; elsewhere, or without koffi, `loadLibc` says why not and callers go their portable way.
 *
 * All pointers are addresses of `NativeMemory`: koffi then has nothing to convert, and a call costs 0.2 us. A wrong one
 * corrupts the process, so addresses are made in one place each and lengths are checked before they go in.
 */
import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";
import { isMainThread } from "node:worker_threads";

type Pointer = bigint;

export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Pointer, addressBytes: number): number;
  getsockname(fd: number, address: Pointer, addressBytes: Pointer): number;
  setsockopt(fd: number, level: number, option: number, value: Pointer, valueBytes: number): number;
  getsockopt(fd: number, level: number, option: number, value: Pointer, valueBytes: Pointer): number;
  sendmsg(fd: number, message: Pointer, flags: number): number;
  sendmmsg(fd: number, messages: Pointer, count: number, flags: number): number;
  recvmmsg(fd: number, messages: Pointer, count: number, flags: number, timeout: Pointer): number;
  ioctl(fd: number, request: number, argument: Pointer): number;
  read(fd: number, memory: Pointer, bytes: number): number;
  write(fd: number, memory: Pointer, bytes: number): number;
  close(fd: number): number;
  /** The number of the last call's error: to be asked before anything else runs. */
  errno(): number;
  /** Where an array's memory is. True as long as the array lives and is not detached. */
  addressOf(array: ArrayBuffer | Uint8Array): Pointer;
  poll(fd: number, events: PollEvents, callback: PollCallback): PollHandle;
}

export interface PollEvents {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** Runs outside of any turn of JavaScript: microtasks wait, and nothing catches what it throws. */
export type PollCallback = (status: number, events: PollEvents) => void;

/** A libuv poll handle. */
export interface PollHandle {
  start(events: PollEvents, callback: PollCallback): void;
  stop(): void;
  close(): void;
  ref(): void;
  unref(): void;
}

const PROTOTYPES = {
  socket: ["int", "int", "int"],
  bind: ["int", "void *", "uint32_t"],
  getsockname: ["int", "void *", "void *"],
  setsockopt: ["int", "int", "int", "void *", "uint32_t"],
  getsockopt: ["int", "int", "int", "void *", "void *"],
  sendmsg: ["int", "void *", "int"],
  sendmmsg: ["int", "void *", "uint32_t", "int"],
  recvmmsg: ["int", "void *", "uint32_t", "int", "void *"],
  ioctl: ["int", "unsigned long", "void *"],
  read: ["int", "void *", "size_t"],
  write: ["int", "void *", "size_t"],
  close: ["int"],
} as const;

const LONG_RESULTS: ReadonlySet<string> = new Set(["sendmsg", "read", "write"]);

let loading: Promise<Libc | string> | null = null;

/** The library, or why there is none, in words. Loads once. */
export function loadLibc(): Promise<Libc | string> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Libc | string> {
  if (process.platform !== "linux") return `system calls are only made directly on Linux, this is ${process.platform}`;
  if (!["x64", "arm64", "riscv64", "loong64"].includes(process.arch) || endianness() !== "LE") {
    return `system calls are only made directly on 64-bit little-endian processors, this is ${process.arch}`;
  }
  if (!isMainThread) {
    return "system calls are only made directly on the main thread: ending a worker with a koffi poll handle open crashes";
  }
  try {
    const { default: koffi } = await import("koffi");
    if (typeof koffi.node?.poll !== "function") return `koffi ${koffi.version} is too old, 3 or later is needed`;
    const library = koffi.load(null);
    const functions = Object.fromEntries(
      Object.entries(PROTOTYPES).map(([name, parameters]) => [
        name,
        library.func(name, LONG_RESULTS.has(name) ? "intptr_t" : "int", [...parameters]),
      ]),
    );
    return {
      ...(functions as unknown as Pick<Libc, keyof typeof PROTOTYPES>),
      errno: () => koffi.errno(),
      addressOf: (array) => koffi.address(array) as Pointer,
      poll: (fd, events, callback) => koffi.node.poll(fd, events, callback as never) as unknown as PollHandle,
    };
  } catch (error) {
    return `the optional package koffi cannot be loaded: ${(error as Error).message.split("\n", 1)[0]}`;
  }
}

/** Which Node has no name for: a file that was taken from its descriptor, as a deleted interface. */
const EBADFD = 77;

/** "EAGAIN" for 11. */
export function errnoName(errno: number): string {
  if (errno === EBADFD) return "EBADFD";
  const name = getSystemErrorName(-errno);
  return name.startsWith("E") ? name : `errno ${errno}`;
}

/** Memory outside of the garbage collector's reach, zeroed, that stays where it is as long as this object lives. */
export class NativeMemory {
  readonly bytes: Uint8Array;
  /** Little-endian, as the processor: pass `true`. */
  readonly view: DataView;
  readonly address: bigint;

  /** `buffer`: memory to use, or how many bytes to take. */
  constructor(libc: Libc, memory: number | ArrayBuffer) {
    const buffer = typeof memory === "number" ? new ArrayBuffer(memory) : memory;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.address = libc.addressOf(buffer);
  }

  /** Writes a pointer to `target` + `targetOffset` at `offset`. */
  setPointer(offset: number, target: bigint): void {
    this.view.setBigUint64(offset, target, true);
  }
}
