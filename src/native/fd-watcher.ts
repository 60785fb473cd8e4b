/**
 * Waits until a file descriptor can be read or written, on Node's own event loop (libuv's poll), with no thread and no
 * cost while nothing happens. Level-triggered: what is not read is reported again on the next turn.
 */
import type { Libc, PollEvents, PollHandle } from "./libc.ts";

export class FdWatcher {
  readonly #onReadable: () => void;
  readonly #onWritable: () => void;
  readonly #handle: PollHandle;
  /** What is waited for. */
  #reading = true;
  #writing = false;
  /** What has happened since the last turn. */
  #writable = false;
  #failed = false;
  #scheduled = false;
  #closed = false;

  /**
   * Starts to watch. Both callbacks run as immediates, that is in the same turn of the event loop, where promises work
   * and what they throw is reported. `onReadable` also comes for an error: reading tells which.
   */
  constructor(libc: Libc, fd: number, onReadable: () => void, onWritable: () => void) {
    this.#onReadable = onReadable;
    this.#onWritable = onWritable;
    this.#handle = libc.poll(fd, { readable: true, writable: false }, this.#polled);
  }

  /** Calls `onWritable` once, as soon as the descriptor can be written. */
  awaitWritable(): void {
    if (this.#writing) return;
    this.#writing = true;
    this.#watch();
  }

  /** No `onReadable` until `resume`. */
  pause(): void {
    if (!this.#reading) return;
    this.#reading = false;
    this.#watch();
  }

  resume(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#watch();
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

  #watch(): void {
    if (this.#closed) return;
    if (this.#reading || this.#writing) {
      this.#handle.start({ readable: this.#reading, writable: this.#writing }, this.#polled);
    } else {
      this.#handle.stop();
    }
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
    const writable = this.#writable && this.#writing;
    if (writable) this.#writing = false;
    // libuv stops watching a descriptor that has an error; reading takes the error away.
    if (writable || this.#failed) this.#watch();
    this.#writable = false;
    this.#failed = false;
    if (writable) this.#onWritable();
    if (this.#reading && !this.#closed) this.#onReadable();
  };
}
