/**
 * One file on its way in: what of it is here already, the bytes that come, and its place when all of it is here and has the right
 * hash. Until then it stands beside its place under another name, and stays there when the transfer breaks off.
 */
import { createHash, type Hash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { chmod, copyFile, type FileHandle, open, rename } from "node:fs/promises";
import { FileError, TransferError } from "./errors.ts";
import { type Folder, lookAt, MODE_BITS, mtimeUsOf, refuseSpecial } from "./folder.ts";
import { type Entry, HASH_BYTES } from "./frames.ts";
import { hashPrefix } from "./hashing.ts";
import { partialOf } from "./paths.ts";

/** Where the system has no such flag there are no symbolic links to speak of. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

const FLAGS = constants.O_RDWR | constants.O_CREAT | NO_FOLLOW;

/** Times are kept as floating-point seconds on their way to the kernel. */
const MTIME_TOLERANCE_US = 2;

export interface IncomingOptions {
  /** A file of the same size and time is the same. */
  trustTimes: boolean;
  /** Wait until it is on the disk before it gets its name. */
  fsync: boolean;
}

/** What the sender is to be told. */
export type Wish = { offset: number; hash: Buffer } | "unchanged" | "done";

const WHOLE = { offset: 0, hash: Buffer.alloc(0) };

export class IncomingFile {
  readonly entry: Entry;
  readonly #folder: Folder;
  readonly #options: IncomingOptions;
  readonly #partial: Buffer;
  /** What the prefix that was offered is of, and its hash. */
  #base: { path: Buffer; stats: Stats; hash: Hash; bytes: number } | null = null;
  /** There is no unfinished file yet. */
  #fresh = false;

  constructor(folder: Folder, entry: Entry, options: IncomingOptions) {
    this.#folder = folder;
    this.entry = entry;
    this.#options = options;
    this.#partial = folder.at(partialOf(entry.path));
  }

  /** The name under which it is written; two must not do so at once. */
  get claimPath(): Buffer {
    return this.#partial;
  }

  /** Looks what is here already. */
  async prepare(): Promise<Wish> {
    const { path, sizeBytes, mtimeUs } = this.entry;
    const there = await this.#folder.look(path);
    refuseSpecial(there);
    const sameSize = there?.isFile() === true && there.size === sizeBytes;
    if (sameSize && this.#options.trustTimes && Math.abs(mtimeUsOf(there) - mtimeUs) <= MTIME_TOLERANCE_US) {
      return "unchanged";
    }
    const partial = await lookAt(this.#partial);
    this.#fresh = partial === null;
    if (sizeBytes === 0) {
      await this.#writing(0, async (file) => this.#finish(file));
      return "done";
    }
    if (partial !== null && !partial.isFile()) throw new FileError("has something in its way that is no file");
    if (partial !== null && partial.size > 0 && partial.size <= sizeBytes) {
      return this.#offer(this.#partial, partial);
    }
    if (sameSize) return this.#offer(this.#folder.at(path), there);
    if (partial === null && there?.isFile() && there.size > 0 && there.size < sizeBytes) return this.#grow();
    return WHOLE;
  }

  /** The sender says that what was offered is all of it. Resolves with whether it was in its place before. */
  async keep(): Promise<boolean> {
    const base = this.#base;
    if (base === null || base.bytes !== this.entry.sizeBytes) {
      throw new TransferError("protocol", "the sender calls a file the same that is not here");
    }
    if (base.path === this.#partial) {
      await this.#writing(base.bytes, async (file) => this.#finish(file));
      return false;
    }
    const file = await open(base.path, constants.O_RDONLY | NO_FOLLOW);
    try {
      const now = await file.stat();
      if (!isSame(base.stats, now)) throw new FileError("was changed in the folder meanwhile");
      const { mode, mtimeUs } = this.entry;
      if ((now.mode & MODE_BITS) !== (mode & MODE_BITS)) await file.chmod(mode & MODE_BITS);
      if (Math.abs(mtimeUsOf(now) - mtimeUs) > MTIME_TOLERANCE_US) await file.utimes(mtimeUs / 1e6, mtimeUs / 1e6);
    } finally {
      await file.close();
    }
    return true;
  }

  /**
   * Takes the bytes from `start` on, then their hash, and puts the file in its place. Rejects when they are not what they should be;
   * what came stays.
   */
  async write(start: number, chunks: AsyncIterable<Buffer>, onBytes: (bytes: number) => void): Promise<void> {
    const { sizeBytes } = this.entry;
    const resumes = start > 0;
    if (resumes && (this.#base?.path !== this.#partial || this.#base.bytes !== start)) {
      throw new TransferError("protocol", `the sender begins at byte ${start}, which was not asked for`);
    }
    await this.#writing(start, async (file) => {
      const hash = (resumes && this.#base?.hash) || createHash("sha256");
      let at = start;
      let digest: Buffer = Buffer.alloc(0);
      for await (const chunk of chunks) {
        const bytes = Math.min(chunk.length, sizeBytes - at);
        if (bytes > 0) {
          const data = chunk.subarray(0, bytes);
          hash.update(data);
          await writeAll(file, data, at);
          at += bytes;
          onBytes(bytes);
        }
        if (bytes < chunk.length) digest = Buffer.concat([digest, chunk.subarray(bytes)]);
        if (digest.length > HASH_BYTES) break;
      }
      if (at < sizeBytes || digest.length !== HASH_BYTES) {
        throw new TransferError("protocol", "the sender sends another number of bytes than it said");
      }
      if (!hash.digest().equals(digest)) {
        // Nothing of it can be trusted, and another attempt must not begin with it.
        await file.truncate(0);
        throw new FileError("arrived with another SHA-256 than it was sent with");
      }
      await this.#finish(file);
    });
  }

  /** The older file may be the beginning of this one, as of a log: then only what is new need come. */
  async #grow(): Promise<Wish> {
    try {
      await copyFile(this.#folder.at(this.entry.path), this.#partial, constants.COPYFILE_FICLONE);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") return WHOLE;
      throw error;
    }
    this.#fresh = false;
    const copy = await lookAt(this.#partial);
    return copy?.isFile() ? this.#offer(this.#partial, copy) : WHOLE;
  }

  async #offer(path: Buffer, stats: Stats): Promise<Wish> {
    const file = await open(path, constants.O_RDONLY | NO_FOLLOW).catch((error: NodeJS.ErrnoException) => {
      // What cannot be read cannot be compared, but it can be replaced.
      if (error.code === "EACCES") return null;
      throw error;
    });
    if (file === null) return WHOLE;
    try {
      const hash = isSame(stats, await file.stat()) ? await hashPrefix(file, stats.size) : null;
      if (hash === null) return WHOLE;
      this.#base = { path, stats, hash, bytes: stats.size };
      return { offset: stats.size, hash: hash.copy().digest() };
    } finally {
      await file.close();
    }
  }

  /** Opens the unfinished file, cut off or grown to `bytes`, for as long as `work` takes. */
  async #writing(bytes: number, work: (file: FileHandle) => Promise<void>): Promise<void> {
    const file = this.#fresh ? await open(this.#partial, FLAGS | constants.O_EXCL, 0o600) : await this.#reopen();
    try {
      const { size } = this.#fresh ? { size: 0 } : await file.stat();
      this.#fresh = false;
      if (size < bytes) throw new FileError("lost the beginning that was here");
      if (size > bytes) await file.truncate(bytes);
      await work(file);
    } finally {
      await file.close();
    }
  }

  async #reopen(): Promise<FileHandle> {
    const there = await lookAt(this.#partial);
    if (there !== null && !there.isFile()) throw new FileError("has something in its way that is no file");
    // It may have got its final mode, and then not its name.
    if (there !== null && (there.mode & 0o600) !== 0o600) await chmod(this.#partial, 0o600);
    return open(this.#partial, FLAGS, 0o600);
  }

  async #finish(file: FileHandle): Promise<void> {
    const { mode, mtimeUs, path } = this.entry;
    await file.chmod(mode & MODE_BITS);
    await file.utimes(mtimeUs / 1e6, mtimeUs / 1e6);
    if (this.#options.fsync) await file.sync();
    await rename(this.#partial, this.#folder.at(path));
  }
}

function isSame(before: Stats, now: Stats): boolean {
  return now.isFile() && before.ino === now.ino && before.size === now.size && before.mtimeMs === now.mtimeMs;
}

async function writeAll(file: FileHandle, data: Buffer, at: number): Promise<void> {
  for (let written = 0; written < data.length; ) {
    const { bytesWritten } = await file.write(data, written, data.length - written, at + written);
    written += bytesWritten;
  }
}
