/** How long tests wait for what another process says, and what becomes of one that waited in vain. */

/** Below the time that a test has in all, so that the failure names what did not come. */
export const PATIENCE_MS = 25_000;

/** Resolves when what `arm` was given is called, or after `ms`. */
export async function wakeOrLate(ms: number, arm: (wake: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const late = setTimeout(resolve, ms);
    arm(() => {
      clearTimeout(late);
      resolve();
    });
  });
}

/**
 * Between processes, sockets and interfaces a test may wait in vain on a machine that stood still. It is run once more, and the report
 * says so; whatever fails for another reason than waiting has failed.
 */
export const RETRY = {
  count: 1,
  condition: /^Test timed out in |^no .* in \d+ ms|: no line in \d+ ms|: Timeout \d+ms exceeded/,
};
