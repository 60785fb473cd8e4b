/**
 * Waits until a file descriptor can be read or written, on Node's own event loop (libuv's poll), with no thread and no
 * cost while nothing happens. Level-triggered: what is not read is reported again on the next turn.
 */
import type { Libc, PollEvents, PollHandle } from "./libc.ts";

const READABLE: PollEvents = { readable: true, writable: false };
const BOTH: PollEvents = { readable: true, writable: true };

export class FdWatcher {
  readonly #onReadable: () => void;
  readonly #onWritable: () => void;
  readonly #handle: PollHandle;
  #wanted = READABLE;
  #scheduled = false;
  #writable = false;
  #failed = false;
  #closed = false;

  /**
   * Starts to watch. Both callbacks run as immediates, that is in the same turn of the event loop, where promises work
   * and what they throw is reported. `onReadable` also comes for an error: reading tells which.
   */
  constructor(libc: Libc, fd: number, onReadable: () => void, onWritable: () => void) {
    this.#onReadable = onReadable;
    this.#onWritable = onWritable;
    this.#handle = libc.poll(fd, READABLE, this.#polled);
  }

  /** Calls `onWritable` once, as soon as the descriptor can be written. */
  awaitWritable(): void {
    if (this.#closed || this.#wanted === BOTH) return;
    this.#wanted = BOTH;
    this.#handle.start(BOTH, this.#polled);
  }

  /** No callback comes any more; the descriptor may be closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handle.close();
  }

  ref(): void {
    if (!this.#closed) this.#handle.ref();
  }

  unref(): void {
    if (!this.#closed) this.#handle.unref();
  }

  readonly #polled = (status: number, events: PollEvents): void => {
    if (status < 0) this.#failed = true;
    if (events.writable) this.#writable = true;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  };

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#closed) return;
    if (this.#writable) {
      this.#writable = false;
      this.#wanted = READABLE;
      this.#handle.start(READABLE, this.#polled);
      this.#onWritable();
      if (this.#closed) return;
    }
    // libuv stops watching a descriptor that has an error; reading takes the error away.
    if (this.#failed) {
      this.#failed = false;
      this.#handle.start(this.#wanted, this.#polled);
    }
    this.#onReadable();
  };
}
