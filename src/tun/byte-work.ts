/**
 * What is done with every byte that crosses a device, checksums and copies, in WebAssembly with SIMD where there is any, else in
 * JavaScript: it is much of what a packet costs.
 */
import { embeddedModule } from "../wasm/embedded-module.ts";
import { addBytes, fold } from "./checksum.ts";
import { CHECKSUM_WASM_BASE64 } from "./checksum-wasm.generated.ts";

/** Works on some memory, by offsets into it. Offsets are not checked. */
export interface ByteWork {
  /** The big-endian 16-bit words from `start` to `end`, at most 64 KiB, summed up and folded to 16 bits: 0 only if all bytes are. */
  sum(start: number, end: number): number;
  /** Copies `length` bytes; both stretches may overlap. */
  move(to: number, from: number, length: number): void;
}

const PAGE_BYTES = 65_536;

const workModule = embeddedModule(CHECKSUM_WASM_BASE64);

/** Memory of at least `byteLength` bytes that never moves, zeroed, and who works on it. */
export function workMemory(byteLength: number): { buffer: ArrayBuffer; work: ByteWork } {
  const module = workModule();
  if (module === null) {
    const buffer = new ArrayBuffer(byteLength);
    return { buffer, work: scalarWork(new Uint8Array(buffer)) };
  }
  const pages = Math.ceil(byteLength / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { buffer: memory.buffer, work: exports as unknown as ByteWork };
}

/** Works on the bytes of any array. */
export function scalarWork(bytes: Uint8Array): ByteWork {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    sum: (start, end) => fold(addBytes(0, view, start, end)),
    move: (to, from, length) => void bytes.copyWithin(to, from, from + length),
  };
}
