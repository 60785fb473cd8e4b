/**
 * Waiting for what cannot be given up, such as the lookup of a name, on behalf of who may give up. Not for what holds something: what
 * comes of it after the abort is closed by nobody.
 */

/** As `promise`, but rejects with the signal's reason as soon as that aborts; what then still becomes of it is nobody's. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
