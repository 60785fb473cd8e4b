/**
 * The receiver's end of one session: looks for each thing that is announced what is here of it, asks for the rest, and says what became
 * of it. Names and sizes are the other end's word; nothing is taken that paths.ts and folder.ts do not let pass, and no more is kept
 * in memory than `PENDING` files. docs/wire-format-transfer.md.
 */
import type { Session } from "../api/session.ts";
import type { Stream } from "../api/stream.ts";
import { readVarint, varintLengthAt } from "../transport/link/varint.ts";
import type { Claim, Claims } from "./claims.ts";
import { Control } from "./control.ts";
import { FileError, fileError, isStreamError, TransferError } from "./errors.ts";
import type { Folder } from "./folder.ts";
import type { Entry, Frame } from "./frames.ts";
import { IncomingFile } from "./incoming-file.ts";
import { pathFault, showPath } from "./paths.ts";
import type { Progress } from "./progress.ts";
import { Wakeup } from "./wakeup.ts";

/** Announced and not settled: twice what a sender may have. */
const PENDING = 2048;
/** Looked at at once. */
const AT_ONCE = 32;
/** Streams that a sender may have open: enough for a thousand small files a second over long round trips. */
export const MAX_STREAMS = 512;
const PROGRESS_MS = 200;
const RESET_UNWANTED = 3;

export interface ReceiveOptions {
  control: Promise<Stream>;
  trustTimes: boolean;
  fsync: boolean;
  folder: Folder;
  claims: Claims;
  /** By which claims know whose a file is. */
  peer: string;
  progress: Progress;
  /** Files that came in an earlier session of this run: those need not be read again. */
  received?: Set<string>;
}

interface Pending {
  readonly id: number;
  readonly file: IncomingFile;
  claim: Claim | null;
  /** It was asked for, and does not come yet. */
  asked: boolean;
  /** Something is being done with it. */
  busy: boolean;
  stream: Stream | null;
  /** Nothing more is to be done with it. */
  over: boolean;
}

export class ReceiveSession {
  readonly #session: Session;
  readonly #options: ReceiveOptions;
  #control!: Control;
  #trustTimes = false;
  #nextId = 0;
  readonly #pending = new Map<number, Pending>();
  readonly #tasks = new Set<Promise<void>>();
  /** Of the tasks, those that look at what is here. */
  #looking = 0;
  #movedBytes = 0;
  #movedSaid = 0;
  #failure: Error | null = null;
  readonly #wakeup = new Wakeup();

  constructor(session: Session, options: ReceiveOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** Resolves when the sender has nothing more. Rejects with a `TransferError`, or with what ended the session. */
  async run(): Promise<void> {
    const { control, trustTimes, progress } = this.#options;
    progress.restart();
    this.#control = await Control.open(control, { role: "receiver", trustTimes });
    this.#trustTimes = trustTimes || this.#control.peer.trustTimes;
    const onStream = (stream: Stream) => this.#start(this.#receive(stream));
    this.#session.on("stream", onStream);
    const timer = setInterval(() => this.#sayProgress(), PROGRESS_MS);
    try {
      for await (const frame of this.#control.frames()) await this.#on(frame);
      while (this.#tasks.size > 0) await Promise.all(this.#tasks);
      if (this.#pending.size > 0)
        throw new TransferError("protocol", "the sender closed before it had sent everything");
      this.#sayProgress();
      this.#control.stream.end();
    } catch (error) {
      this.#fail(error as Error);
    } finally {
      clearInterval(timer);
      this.#session.off("stream", onStream);
      for (const pending of this.#pending.values()) this.#giveUp(pending);
      await Promise.all(this.#tasks);
    }
    if (this.#failure !== null) throw this.#failure;
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#control.stop(error);
    this.#wakeup.wake();
  }

  #start(task: Promise<void>): void {
    const running = task
      .catch((error: Error) => this.#fail(error))
      .finally(() => {
        this.#tasks.delete(running);
      });
    this.#tasks.add(running);
  }

  #sayProgress(): void {
    if (this.#movedBytes === this.#movedSaid) return;
    this.#movedSaid = this.#movedBytes;
    this.#control.send({ type: "progress", bytes: this.#movedBytes });
  }

  // ---------------------------------------------------------------- what the sender says

  async #on(frame: Frame): Promise<void> {
    const { progress } = this.#options;
    switch (frame.type) {
      case "totals":
        progress.files = frame.files;
        progress.bytes = frame.bytes;
        progress.counted = true;
        return;
      case "entry":
        return this.#onEntry(frame.id, frame.entry);
      case "same": {
        const pending = this.#known(frame.id);
        if (pending === undefined) return;
        if (!pending.asked)
          throw new TransferError("protocol", "the sender calls a file the same that is not asked for");
        pending.asked = false;
        this.#start(this.#work(pending, async () => this.#finish(pending, await pending.file.keep())));
        return;
      }
      case "withdrawn": {
        const pending = this.#known(frame.id);
        if (pending !== undefined) this.#giveUp(pending);
        return;
      }
      case "omitted":
        progress.fail(showPath(frame.path), frame.text);
        return;
      default:
        throw new TransferError("protocol", `the sender sent "${frame.type}", which only a receiver says`);
    }
  }

  /** Undefined for what is over. */
  #known(id: number): Pending | undefined {
    if (id >= this.#nextId)
      throw new TransferError("protocol", "the sender speaks of a file that it has not announced");
    return this.#pending.get(id);
  }

  async #onEntry(id: number, entry: Entry): Promise<void> {
    if (id !== this.#nextId++) throw new TransferError("protocol", `the sender announces ${id} out of turn`);
    if (this.#pending.size >= PENDING) {
      throw new TransferError("protocol", `the sender announces more than ${PENDING} files ahead`);
    }
    const fault = pathFault(entry.path);
    if (fault !== null) {
      this.#refuse(id, entry, fault);
      return;
    }
    while (this.#looking >= AT_ONCE && this.#failure === null) await this.#wakeup.wait();
    this.#looking++;
    const look = entry.kind === "file" ? this.#lookAtFile(id, entry) : this.#make(id, entry);
    this.#start(
      look.finally(() => {
        this.#looking--;
        this.#wakeup.wake();
      }),
    );
  }

  async #make(id: number, entry: Entry): Promise<void> {
    const { folder } = this.#options;
    try {
      let unchanged = false;
      if (entry.kind === "link") unchanged = await folder.createLink(entry);
      else if (entry.kind === "directory") await folder.createDirectory(entry);
      else await folder.sealDirectory(entry);
      this.#control.send({ type: "done", id, unchanged });
    } catch (error) {
      this.#refuse(id, entry, this.#fileFault(error, entry));
    }
  }

  // ---------------------------------------------------------------- files

  async #lookAtFile(id: number, entry: Entry): Promise<void> {
    const { folder, claims, peer, fsync, received } = this.#options;
    const trustTimes = this.#trustTimes || received?.has(versionOf(entry)) === true;
    const file = new IncomingFile(folder, entry, { trustTimes, fsync });
    const pending: Pending = { id, file, claim: null, asked: false, busy: false, stream: null, over: false };
    this.#pending.set(id, pending);
    await this.#work(pending, async () => {
      pending.claim = await claims.take(file.claimPath, peer, () => {
        // What was withdrawn is freed in a moment anyway.
        if (pending.over) return;
        this.#refuse(id, entry, "is sent again by a later session of the same node");
        this.#giveUp(pending);
      });
      if (pending.claim === null) throw new FileError("is being received from another node");
      if (pending.over) return;
      const wish = await file.prepare();
      if (pending.over) return;
      if (typeof wish === "string") {
        this.#finish(pending, wish === "unchanged");
        return;
      }
      pending.asked = true;
      this.#control.send({ type: "want", id, ...wish });
    });
  }

  /** A stream that the sender opened: which file, from where on, its bytes. */
  async #receive(stream: Stream): Promise<void> {
    // Its reader is told.
    stream.on("error", () => {});
    stream.end();
    const chunks = stream.iterator({ destroyOnReturn: false });
    try {
      const { id, start, rest } = await readHeader(chunks);
      const pending = this.#known(id);
      if (pending === undefined) {
        stream.reset(RESET_UNWANTED);
        return;
      }
      if (!pending.asked) throw new TransferError("protocol", "the sender sends a file that was not asked for");
      pending.asked = false;
      pending.stream = stream;
      const { progress } = this.#options;
      progress.current = showPath(pending.file.entry.path);
      progress.found(start);
      await this.#work(pending, async () => {
        await pending.file.write(start, follow(rest, chunks), (bytes) => {
          this.#movedBytes += bytes;
          progress.moved(this.#movedBytes);
        });
        this.#finish(pending, false);
      });
    } catch (error) {
      // The sender withdraws it, or the session is over: the control stream says which.
      if (!isStreamError(error)) throw error;
    }
  }

  /** Does something with a file, and says so when it fails. Errors of streams and whole transfers are thrown on. */
  async #work(pending: Pending, work: () => Promise<void>): Promise<void> {
    pending.busy = true;
    try {
      await work();
    } catch (error) {
      if (isStreamError(error)) throw error;
      const { id, over, file } = pending;
      const fault = this.#fileFault(error, file.entry);
      if (over) return;
      this.#refuse(id, file.entry, fault);
      this.#giveUp(pending);
    } finally {
      pending.busy = false;
      if (pending.over) pending.claim?.release();
    }
  }

  #finish(pending: Pending, unchanged: boolean): void {
    if (pending.over) return;
    const { id, file } = pending;
    const { progress, received } = this.#options;
    const { entry } = file;
    this.#pending.delete(id);
    pending.over = true;
    if (pending.stream === null) progress.found(entry.sizeBytes);
    progress.done(entry.sizeBytes, unchanged && received?.has(versionOf(entry)) !== true);
    received?.add(versionOf(entry));
    this.#control.send({ type: "done", id, unchanged });
  }

  #giveUp(pending: Pending): void {
    if (pending.over) return;
    pending.over = true;
    this.#pending.delete(pending.id);
    pending.stream?.reset(RESET_UNWANTED);
    if (!pending.busy) pending.claim?.release();
  }

  #refuse(id: number, { path }: Entry, fault: string): void {
    this.#options.progress.fail(showPath(path), fault);
    this.#control.send({ type: "failed", id, text: fault });
  }

  /** In words; throws what concerns more than the file. */
  #fileFault(error: unknown, { path }: Entry): string {
    const fault = fileError(error);
    if (fault instanceof FileError) return fault.message;
    if (fault.fault === "local")
      throw new TransferError("local", `the receiver cannot write ${showPath(path)}: ${fault.message}`);
    throw fault;
  }
}

/** A file as it was announced. */
function versionOf({ path, sizeBytes, mtimeUs }: Entry): string {
  return `${path.toString("latin1")}/${sizeBytes}/${mtimeUs}`;
}

async function readHeader(chunks: AsyncIterator<Buffer>): Promise<{ id: number; start: number; rest: Buffer }> {
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    const { value, done } = await chunks.next();
    if (done === true) throw new TransferError("protocol", "the sender ended a stream before it said which file it is");
    bytes = Buffer.concat([bytes, value]);
    const id = readVarint(bytes, 0, bytes.length);
    const at = id < 0 ? 0 : varintLengthAt(bytes, 0);
    const start = id < 0 ? -1 : readVarint(bytes, at, bytes.length);
    if (start >= 0) return { id, start, rest: bytes.subarray(at + varintLengthAt(bytes, at)) };
    if (bytes.length >= 16) throw new TransferError("protocol", "the sender began a stream with no number of a file");
  }
}

async function* follow(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}
