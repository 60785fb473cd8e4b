/** The stream that TLS runs over: its bytes go to whoever carries them, and come from there. In memory, bounded by its users. */
import { Duplex } from "node:stream";

export class HandshakePipe extends Duplex {
  readonly #onBytes: (bytes: Buffer) => void;

  /** `onBytes` gets what TLS has for the peer, to keep. */
  constructor(onBytes: (bytes: Buffer) => void) {
    super();
    this.#onBytes = onBytes;
    // TLS reports its errors itself.
    this.on("error", () => {});
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#onBytes(Buffer.from(chunk));
    done();
  }
}
