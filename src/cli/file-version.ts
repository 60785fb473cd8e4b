/** Whether a file is another than it was: for files that are polled, on mounts where no event arrives. Its content is not read. */
import { statSync } from "node:fs";

/** Changes whenever the file does, also when it cannot be looked at; follows links, as those of Kubernetes' mounts. */
export function fileVersion(path: string): string {
  try {
    const stat = statSync(path);
    return `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
  } catch (error) {
    return `error:${(error as NodeJS.ErrnoException).code}`;
  }
}
