/** SHA-256 of the beginning of a file, as both ends compute it to see whether they have the same. */
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";

const CHUNK_BYTES = 256 * 1024;

/** The hash so far; null when the file is shorter. */
export async function hashPrefix(
  file: FileHandle,
  bytes: number,
  onBytes: (bytes: number) => void = () => {},
): Promise<Hash | null> {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, bytes));
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, bytes - at), at);
    if (bytesRead === 0) return null;
    hash.update(chunk.subarray(0, bytesRead));
    at += bytesRead;
    onBytes(bytesRead);
  }
  return hash;
}
