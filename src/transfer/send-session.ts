/**
 * The sender's end of one session: announces what is in its outbox, sends what the receiver asks for, each file on a stream of its
 * own, and is done when the receiver has said of everything what became of it. docs/wire-format-transfer.md.
 */
import type { Session } from "../api/session.ts";
import type { Stream } from "../api/stream.ts";
import { varintBytes, writeVarint } from "../transport/link/varint.ts";
import { Control } from "./control.ts";
import { fileError, isStreamError, TransferError } from "./errors.ts";
import type { Frame } from "./frames.ts";
import type { Item, Outbox } from "./outbox.ts";
import { ChangedError, OutgoingFile } from "./outgoing-file.ts";
import { showPath } from "./paths.ts";
import { describe } from "./tree.ts";
import { Wakeup } from "./wakeup.ts";

/** Announced and not settled, at most: enough for thousands a second over long round trips. */
const ANNOUNCED_AT_ONCE = 1024;
/** Files on their way at once: many small ones, of large ones one after the other. */
const FILES_AT_ONCE = 32;
const BYTES_AT_ONCE = 4 * 2 ** 20;
/** A file that changes under the hand is tried so often. */
const ATTEMPTS = 3;

const RESET_WITHDRAWN = 2;

export interface SendOptions {
  control: Promise<Stream>;
  /** The receiver need not read files of the same size and time. */
  trustTimes: boolean;
  compress: boolean;
}

interface Wanted {
  readonly id: number;
  readonly item: Item;
  readonly offset: number;
  readonly hash: Buffer;
}

export class SendSession {
  readonly #session: Session;
  readonly #outbox: Outbox;
  readonly #options: SendOptions;
  #control!: Control;
  #nextId = 0;
  #nextItem = 0;
  readonly #announced = new Map<number, Item>();
  /** Changed while they were sent: to be announced anew. */
  readonly #again: Item[] = [];
  /** Withdrawn, and not yet known whether they are announced anew. */
  #withdrawing = 0;
  /** Ids that the receiver asked for. */
  readonly #asked = new Set<number>();
  readonly #wanted: Wanted[] = [];
  readonly #running = new Set<Promise<void>>();
  #runningBytes = 0;
  readonly #streams = new Set<Stream>();
  readonly #wakeup = new Wakeup();
  #failure: Error | null = null;

  constructor(session: Session, outbox: Outbox, options: SendOptions) {
    this.#session = session;
    this.#outbox = outbox;
    this.#options = options;
  }

  /** Resolves when all is settled at both ends. Rejects with a `TransferError`, or with what ended the session. */
  async run(): Promise<void> {
    const { control, trustTimes } = this.#options;
    this.#outbox.progress.resume();
    this.#control = await Control.open(control, { role: "sender", trustTimes });
    this.#control.stream.on("drain", () => this.#wakeup.wake());
    const unwatch = this.#outbox.watch(this.#wakeup);
    const reading = this.#read().catch((error: Error) => this.#fail(error));
    try {
      await this.#announceAll();
      await this.#sealAll();
      this.#control.stream.end();
      await reading;
      if (this.#failure !== null) throw this.#failure;
    } finally {
      unwatch();
      // What ended it ended the files' streams, too, or the receiver does.
      await Promise.all(this.#running);
    }
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#control.stop(error);
    for (const stream of this.#streams) stream.destroy();
    this.#wakeup.wake();
  }

  // ---------------------------------------------------------------- what is announced

  async #announceAll(): Promise<void> {
    const { items, omitted } = this.#outbox;
    let told = 0;
    let counted = false;
    for (;;) {
      for (; told < omitted.length; told++) this.#control.send({ type: "omitted", ...omitted[told] });
      if (!counted && this.#outbox.complete) {
        counted = true;
        const { files, bytes } = this.#outbox.progress;
        this.#control.send({ type: "totals", files, bytes });
      }
      const item = this.#announced.size < ANNOUNCED_AT_ONCE ? this.#next(items) : undefined;
      if (item !== undefined) {
        this.#announce(item);
        await this.#drained();
      } else if (counted && this.#unsettled === 0 && this.#nextItem === items.length) {
        if (told === omitted.length) return;
      } else await this.#wait();
    }
  }

  get #unsettled(): number {
    return this.#announced.size + this.#withdrawing + this.#again.length;
  }

  #next(items: readonly Item[]): Item | undefined {
    const again = this.#again.shift();
    if (again !== undefined) return again;
    while (this.#nextItem < items.length) {
      const item = items[this.#nextItem++];
      if (!item.settled) return item;
    }
    return undefined;
  }

  /** Directories get their modes and times when nothing comes into them any more, the innermost first. */
  async #sealAll(): Promise<void> {
    const { items } = this.#outbox;
    for (let i = items.length - 1; i >= 0; i--) {
      const { entry, source } = items[i];
      if (entry.kind !== "directory" || items[i].failed) continue;
      while (this.#announced.size >= ANNOUNCED_AT_ONCE) await this.#wait();
      this.#announce({ entry: { ...entry, kind: "seal" }, source, settled: false, failed: false, changes: 0 });
      await this.#drained();
    }
    while (this.#announced.size > 0) await this.#wait();
  }

  #announce(item: Item): void {
    const id = this.#nextId++;
    this.#announced.set(id, item);
    this.#control.send({ type: "entry", id, entry: item.entry });
  }

  async #drained(): Promise<void> {
    while (this.#control.stream.writableNeedDrain) await this.#wait();
  }

  /** Until something has changed; throws when that is that the session failed. */
  async #wait(): Promise<void> {
    if (this.#failure === null) await this.#wakeup.wait();
    if (this.#failure !== null) throw this.#failure;
  }

  // ---------------------------------------------------------------- what the receiver says

  async #read(): Promise<void> {
    for await (const frame of this.#control.frames()) {
      this.#on(frame);
      this.#wakeup.wake();
    }
    if (this.#announced.size > 0) throw new TransferError("protocol", "the receiver closed before it had everything");
  }

  #on(frame: Frame): void {
    switch (frame.type) {
      case "progress":
        this.#outbox.progress.moved(frame.bytes);
        return;
      case "want": {
        const item = this.#itemOf(frame.id);
        if (item === undefined) return;
        const { kind, sizeBytes } = item.entry;
        if (kind !== "file" || frame.offset > sizeBytes || this.#asked.has(frame.id)) {
          throw new TransferError(
            "protocol",
            `the receiver asks for what there is not of ${showPath(item.entry.path)}`,
          );
        }
        this.#asked.add(frame.id);
        this.#wanted.push({ id: frame.id, item, offset: frame.offset, hash: frame.hash });
        this.#startFiles();
        return;
      }
      case "done":
      case "failed": {
        const item = this.#itemOf(frame.id);
        if (item === undefined) return;
        this.#settle(
          frame.id,
          item,
          frame.type === "failed" ? { failed: frame.text } : frame.unchanged ? "unchanged" : "done",
        );
        return;
      }
      default:
        throw new TransferError("protocol", `the receiver sent "${frame.type}", which only a sender says`);
    }
  }

  /** Undefined for what was withdrawn meanwhile. */
  #itemOf(id: number): Item | undefined {
    if (id >= this.#nextId) throw new TransferError("protocol", "the receiver speaks of a file that was not announced");
    return this.#announced.get(id);
  }

  #settle(id: number, item: Item, how: Parameters<Outbox["settle"]>[1]): void {
    // It was not even asked for: all of it is there.
    if (typeof how === "string" && !this.#asked.has(id)) this.#outbox.progress.found(item.entry.sizeBytes);
    this.#announced.delete(id);
    this.#asked.delete(id);
    this.#outbox.settle(item, how);
    this.#wakeup.wake();
  }

  // ---------------------------------------------------------------- files

  #startFiles(): void {
    while (this.#wanted.length > 0 && this.#failure === null) {
      const bytes = this.#wanted[0].item.entry.sizeBytes - this.#wanted[0].offset;
      const full = this.#running.size >= FILES_AT_ONCE || this.#runningBytes + bytes > BYTES_AT_ONCE;
      if (full && this.#running.size > 0) return;
      const wanted = this.#wanted.shift()!;
      this.#runningBytes += bytes;
      const run = this.#sendFile(wanted)
        .catch((error: Error) => this.#fail(error))
        .finally(() => {
          this.#running.delete(run);
          this.#runningBytes -= bytes;
          this.#startFiles();
        });
      this.#running.add(run);
    }
  }

  async #sendFile(wanted: Wanted): Promise<void> {
    const { id, item } = wanted;
    let file: OutgoingFile | null = null;
    try {
      file = await OutgoingFile.open(item.source, item.entry);
      await this.#sendOpened(file, wanted);
    } catch (error) {
      // The receiver gave it up, or the session is over: the control stream says which.
      if (isStreamError(error)) return;
      const cause = fileError(error);
      if (cause instanceof TransferError) throw cause;
      await this.#withdraw(id, item, cause);
    } finally {
      await file?.close();
    }
  }

  async #sendOpened(file: OutgoingFile, { id, item, offset, hash }: Wanted): Promise<void> {
    const { sizeBytes, path } = item.entry;
    const { progress } = this.#outbox;
    progress.current = showPath(path);
    const prefix = offset > 0 ? await file.resume(offset, hash) : null;
    const start = prefix === null ? 0 : offset;
    progress.found(start);
    if (start === sizeBytes) {
      await file.confirm();
      this.#control.send({ type: "same", id });
      return;
    }
    const stream = this.#session.openStream({ compress: this.#options.compress });
    // Its writer is told.
    stream.on("error", () => {});
    stream.resume();
    this.#streams.add(stream);
    try {
      stream.write(header(id, start));
      await file.send(start, prefix ?? undefined, (bytes) => written(stream, bytes));
      stream.end();
    } catch (error) {
      stream.reset(RESET_WITHDRAWN);
      throw error;
    } finally {
      this.#streams.delete(stream);
    }
  }

  async #withdraw(id: number, item: Item, cause: Error): Promise<void> {
    this.#control.send({ type: "withdrawn", id });
    this.#announced.delete(id);
    this.#asked.delete(id);
    this.#withdrawing++;
    try {
      await this.#announceAnew(item, cause);
    } finally {
      this.#withdrawing--;
      this.#wakeup.wake();
    }
  }

  /** As it is now, or never when it changed too often or is not there any more. */
  async #announceAnew(item: Item, cause: Error): Promise<void> {
    if (cause instanceof ChangedError && ++item.changes < ATTEMPTS) {
      const now = await describe(item.entry.path, item.source);
      if ("entry" in now && now.entry.kind === "file") {
        const { progress } = this.#outbox;
        progress.bytes += now.entry.sizeBytes - item.entry.sizeBytes;
        const changed: Item = Object.assign(item, { entry: now.entry });
        this.#again.push(changed);
        return;
      }
    }
    const times = cause instanceof ChangedError ? `, ${ATTEMPTS} times: send a copy that stays as it is` : "";
    this.#outbox.settle(item, { failed: `${cause.message}${times}` });
    this.#control.send({ type: "omitted", path: item.entry.path, text: `${cause.message}${times}` });
  }
}

function header(id: number, start: number): Buffer {
  const bytes = Buffer.alloc(varintBytes(id) + varintBytes(start));
  writeVarint(bytes, writeVarint(bytes, 0, id), start);
  return bytes;
}

/** Resolves when the session has a copy of `bytes`. */
function written(stream: Stream, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}
