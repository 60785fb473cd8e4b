/** Reads the header at the beginning of a stream and leaves what follows it in the stream, paused. */
import type { CarrierStream } from "./carrier.ts";
import type { Decoded } from "./open-header.ts";

/** The peer broke the forwarding protocol, or ended before it had said what it wanted. */
export class HeaderError extends Error {
  override readonly name = "HeaderError";
}

/** Rejects with a `HeaderError`, or with the stream's error. */
export function readHeader<T>(stream: CarrierStream, decode: (bytes: Uint8Array) => Decoded<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer | null = null;
    const settle = () => {
      stream.pause();
      stream.removeListener("data", onData);
      stream.removeListener("end", onEnd);
      stream.removeListener("error", onError);
      stream.removeListener("close", onClose);
    };
    const fail = (error: Error) => {
      settle();
      // Whoever waited here is told; the stream's own error must find a listener all the same.
      stream.on("error", () => {});
      reject(error);
    };
    const onData = (chunk: Buffer) => {
      bytes = bytes === null ? chunk : Buffer.concat([bytes, chunk]);
      const decoded = decode(bytes);
      if (decoded === null) return;
      if ("malformed" in decoded) {
        fail(new HeaderError(`the peer does not speak this version of forwarding: ${decoded.malformed}`));
        return;
      }
      settle();
      if (decoded.end < bytes.length) stream.unshift(bytes.subarray(decoded.end));
      resolve(decoded.header);
    };
    const onEnd = () => fail(new HeaderError("the stream ended before its header"));
    const onError = (error: Error) => fail(error);
    const onClose = () => fail(new HeaderError("the stream closed before its header"));
    stream.on("data", onData);
    stream.on("end", onEnd);
    stream.on("error", onError);
    stream.on("close", onClose);
    stream.resume();
  });
}
