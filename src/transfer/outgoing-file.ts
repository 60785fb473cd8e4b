/** One file on its way out: read once, from the start or from where the receiver has it, and watched for changes meanwhile. */
import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { FileError } from "./errors.ts";
import { mtimeUsOf } from "./folder.ts";
import type { Entry } from "./frames.ts";
import { hashPrefix } from "./hashing.ts";

/** Somebody else never gets a chance to make this end wait at a pipe, or follow a link, in a file's place. */
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

const CHUNK_BYTES = 128 * 1024;

/** The file is not any more what it was when it was announced. */
export class ChangedError extends FileError {}

export class OutgoingFile {
  readonly #file: FileHandle;
  readonly #entry: Entry;

  private constructor(file: FileHandle, entry: Entry) {
    this.#file = file;
    this.#entry = entry;
  }

  static async open(source: Buffer, entry: Entry): Promise<OutgoingFile> {
    const handle = await open(source, FLAGS);
    const file = new OutgoingFile(handle, entry);
    try {
      await file.#check();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return file;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** The hash of the first `bytes`, to go on with, if it is `digest`; else null: the receiver has something else. */
  async resume(bytes: number, digest: Buffer): Promise<Hash | null> {
    const hash = await hashPrefix(this.#file, bytes);
    if (hash === null) throw new ChangedError("became shorter while it was read");
    return hash.copy().digest().equals(digest) ? hash : null;
  }

  /** Nothing of it was changed since it was announced. */
  async confirm(): Promise<void> {
    await this.#check();
  }

  /**
   * Hands the bytes from `start` on to `write`, which has a copy of them when it resolves, and last the hash of all: `hash` is that of
   * what comes before `start`. Rejects with a `ChangedError` before the hash when the file was changed meanwhile.
   */
  async send(start: number, hash: Hash = createHash("sha256"), write: (bytes: Buffer) => Promise<void>): Promise<void> {
    const { sizeBytes } = this.#entry;
    let chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, sizeBytes - start));
    let next = Buffer.allocUnsafe(chunk.length);
    let written = Promise.resolve();
    for (let at = start; at < sizeBytes; ) {
      const { bytesRead } = await this.#file.read(chunk, 0, Math.min(chunk.length, sizeBytes - at), at);
      if (bytesRead === 0) throw new ChangedError("became shorter while it was sent");
      const bytes = chunk.subarray(0, bytesRead);
      hash.update(bytes);
      at += bytesRead;
      await written;
      written = write(bytes);
      // Whoever waits for it next hears of a failure.
      written.catch(() => {});
      [chunk, next] = [next, chunk];
    }
    await written;
    await this.#check();
    await write(hash.digest());
  }

  async #check(): Promise<void> {
    const stats = await this.#file.stat();
    const { sizeBytes, mtimeUs } = this.#entry;
    if (!stats.isFile()) throw new FileError("is no file any more");
    if (stats.size !== sizeBytes || mtimeUsOf(stats) !== mtimeUs)
      throw new ChangedError("was changed while it was sent");
  }
}
