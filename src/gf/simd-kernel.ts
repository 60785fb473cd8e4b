/**
 * Loads the WebAssembly SIMD kernel: instantiates it on an arena's memory and writes the tables that it reads.
 */
import { embeddedModule } from "../wasm/embedded-module.ts";
import type { Kernel, LinearMemory } from "./kernel.ts";
import { KERNEL_WASM_BASE64 } from "./kernel-wasm.generated.ts";
import { PRODUCT } from "./tables.ts";

interface KernelExports
  extends Pick<Kernel, "xor" | "scale" | "mulAdd" | "combine" | "combineAdd" | "multiply" | "multiplyAdd"> {
  readonly NIBBLE_TABLES: WebAssembly.Global;
  readonly TAIL_MASKS: WebAssembly.Global;
  readonly REDUCTION: WebAssembly.Global;
  readonly SCRATCH_END: WebAssembly.Global;
}

const kernelModule = embeddedModule(KERNEL_WASM_BASE64);

/** Whether this runtime has WebAssembly with SIMD. */
export function simdSupported(): boolean {
  return kernelModule() !== null;
}

/** Instantiates the SIMD kernel on a WebAssembly memory. Throws an Error where SIMD is missing. */
export function createSimdKernel(memory: LinearMemory): Kernel {
  const module = kernelModule();
  if (module === null || !(memory instanceof WebAssembly.Memory)) {
    throw new Error('this runtime has no WebAssembly SIMD; use the kernel "scalar" or "auto"');
  }
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const kernel = instance.exports as unknown as KernelExports;
  const bytes = new Uint8Array(memory.buffer);
  for (let c = 0; c < 256; c++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      const at = kernel.NIBBLE_TABLES.value + 32 * c + nibble;
      bytes[at] = PRODUCT[256 * c + nibble];
      bytes[at + 16] = PRODUCT[256 * c + 16 * nibble];
    }
  }
  bytes.fill(0xff, kernel.TAIL_MASKS.value + 16, kernel.TAIL_MASKS.value + 32);
  bytes.fill(0x1d, kernel.REDUCTION.value, kernel.REDUCTION.value + 16);
  return {
    name: "simd",
    scratchEnd: kernel.SCRATCH_END.value,
    xor: kernel.xor,
    scale: kernel.scale,
    mulAdd: kernel.mulAdd,
    combine: kernel.combine,
    combineAdd: kernel.combineAdd,
    multiply: kernel.multiply,
    multiplyAdd: kernel.multiplyAdd,
  };
}
