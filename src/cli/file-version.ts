/** Whether a file is another than it was: for files that are polled, on mounts where no event arrives. Its content is not read. */
import { statSync } from "node:fs";

/** Changes whenever the file does; follows links, as those of Kubernetes' mounts. */
export function fileVersion(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "none" : `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
}
