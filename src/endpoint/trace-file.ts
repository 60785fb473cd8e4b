/** Opens the file that a trace (`trace.ts`) goes to, without ever waiting: a FIFO would have one wait for its reader. */
import { constants, openSync, statSync } from "node:fs";

/** O_NONBLOCK is unknown on Windows, and then adds nothing. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** A descriptor to add lines to the file, which is made if there is none. Throws an error that says why that cannot be. */
export function openTraceFile(file: string): number {
  try {
    return openSync(file, FLAGS, 0o666);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENXIO" && statSync(file).isFIFO()) {
      throw new Error(`${file} is a FIFO that nobody reads: start its reader first`, { cause: error });
    }
    throw error;
  }
}
