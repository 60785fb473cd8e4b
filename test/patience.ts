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
 * With real clocks, sockets, processes and interfaces a test may fail because the machine stood still for seconds. It is run again,
 * at most twice, and the report says so ("retry x1"); what fails three times has failed. Tests in virtual time are never run again.
 */
export const RETRY = 2;
