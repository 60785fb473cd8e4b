/** The stream that TLS runs over: its bytes go to whoever carries them, and come from there. In memory, bounded by its users. */
import { Duplex } from "node:stream";

export interface PipeListener {
  /** TLS has bytes for the peer. They are the listener's. */
  onBytes(bytes: Buffer): void;
  /** TLS has closed the stream: nothing more will come. */
  onClosed(): void;
}

export class HandshakePipe extends Duplex {
  readonly #listener: PipeListener;

  constructor(listener: PipeListener) {
    super();
    this.#listener = listener;
    // TLS reports its errors itself.
    this.on("error", () => {});
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#listener.onBytes(Buffer.from(chunk));
    done();
  }

  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    this.#listener.onClosed();
    done();
  }
}
