/** WebAssembly with SIMD whose bytes are embedded at build time, so that a bundle needs no second file. Knows nothing of what it does. */

/** Gives the module, which is compiled once a process, when it is first asked for; null where the runtime has no WebAssembly with SIMD. */
export function embeddedModule(base64: string): () => WebAssembly.Module | null {
  let compiled: WebAssembly.Module | null | undefined;
  return () => {
    if (compiled === undefined) {
      compiled = null;
      if (typeof WebAssembly === "object") {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        // A runtime without SIMD does not validate the module.
        if (WebAssembly.validate(bytes)) compiled = new WebAssembly.Module(bytes);
      }
    }
    return compiled;
  };
}
