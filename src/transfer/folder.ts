/**
 * The folder that a receiver writes to, and nothing outside of it. Every directory on the way to a name is looked at before anything is
 * done there: a symbolic link among them is refused, not followed. The other end cannot change that in between: no directory
 * is ever replaced by anything here.
 */
import { constants, type Stats } from "node:fs";
import {
  access,
  chmod,
  lstat,
  lutimes,
  mkdir,
  readlink,
  realpath,
  rename,
  stat,
  symlink,
  unlink,
  utimes,
} from "node:fs/promises";
import { FileError, TransferError } from "./errors.ts";
import type { Entry } from "./frames.ts";
import { joinPath, parentOf, partialOf, showPath, staysInside } from "./paths.ts";

/** What a file or directory may get of the other end's: no set-user-id, set-group-id or sticky bit. */
export const MODE_BITS = 0o777;

/** Directories that were looked at already. */
const KNOWN_DIRECTORIES = 1024;

export interface FolderOptions {
  /** Takes symbolic links that lead outside. */
  outsideLinks?: boolean;
}

export class Folder {
  readonly path: Buffer;
  readonly #outsideLinks: boolean;
  readonly #known = new Set<string>();

  /** Makes it where it is missing. Rejects with a `TransferError` when it cannot be written to. */
  static async open(path: string, options: FolderOptions = {}): Promise<Folder> {
    try {
      await mkdir(path, { recursive: true });
      const real = await realpath(path, { encoding: "buffer" });
      if (!(await stat(real)).isDirectory()) throw new TransferError("local", `${path} is no directory`);
      await access(real, constants.W_OK | constants.X_OK);
      return new Folder(real, options);
    } catch (error) {
      if (error instanceof TransferError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      const fault = code === "EEXIST" || code === "ENOTDIR" ? "is no directory" : `cannot be written to (${code})`;
      throw new TransferError("local", `${path} ${fault}`);
    }
  }

  private constructor(path: Buffer, { outsideLinks = false }: FolderOptions) {
    this.path = path;
    this.#outsideLinks = outsideLinks;
  }

  at(path: Buffer): Buffer {
    return joinPath(this.path, path);
  }

  /** What is at `path`, itself and not where it leads; null for nothing. Makes the directories above it. */
  async look(path: Buffer): Promise<Stats | null> {
    await this.#ensureDirectory(parentOf(path));
    return lookAt(this.at(path));
  }

  async createDirectory({ path, mode }: Entry): Promise<void> {
    await this.#ensureDirectory(path);
    // Its own mode comes when all is in it.
    await chmod(this.at(path), (mode & MODE_BITS) | 0o700);
  }

  async sealDirectory({ path, mode, mtimeUs }: Entry): Promise<void> {
    await this.#ensureDirectory(path);
    await chmod(this.at(path), mode & MODE_BITS);
    await utimes(this.at(path), mtimeUs / 1e6, mtimeUs / 1e6);
  }

  /** Resolves with whether it was there already. */
  async createLink({ path, target, mtimeUs }: Entry): Promise<boolean> {
    if (!this.#outsideLinks && !staysInside(path, target)) {
      throw new FileError(`is a symbolic link that leads, or may lead, out of the folder: to ${showPath(target)}`);
    }
    const there = await this.look(path);
    const at = this.at(path);
    if (there?.isSymbolicLink() && (await readlink(at, { encoding: "buffer" })).equals(target)) return true;
    refuseSpecial(there);
    const partial = this.at(partialOf(path));
    await unlink(partial).catch(ignoreMissing);
    await symlink(target, partial);
    await lutimes(partial, mtimeUs / 1e6, mtimeUs / 1e6);
    await rename(partial, at);
    return false;
  }

  async #ensureDirectory(path: Buffer): Promise<void> {
    const key = path.toString("latin1");
    if (path.length === 0 || this.#known.has(key)) return;
    await this.#ensureDirectory(parentOf(path));
    const at = this.at(path);
    let there = await lookAt(at);
    if (there === null) {
      await mkdir(at).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
      there = await lookAt(at);
    }
    if (there?.isSymbolicLink()) {
      throw new FileError(`is not written through the symbolic link ${showPath(path)}, which is in the folder`);
    }
    if (!there?.isDirectory()) throw new FileError(`cannot be: ${showPath(path)} is in the folder, and no directory`);
    if (this.#known.size >= KNOWN_DIRECTORIES) this.#known.clear();
    this.#known.add(key);
  }
}

/** A file or link may be replaced; anything else is no place for one. */
export function refuseSpecial(there: Stats | null): void {
  if (there === null || there.isFile() || there.isSymbolicLink()) return;
  throw new FileError(
    `cannot be: there is a ${there.isDirectory() ? "directory" : "device, socket or pipe"} of that name`,
  );
}

export async function lookAt(path: Buffer): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Microseconds since 1970, whole; what was changed before that counts as of then. */
export function mtimeUsOf({ mtimeMs }: Stats): number {
  return Math.max(0, Math.round(mtimeMs * 1000));
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
