/** The files of the small certificate authority: keys only their owner can read, and nothing is ever overwritten. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Pem } from "./certificates.ts";

/** A file that is in the way, missing or unreadable. The message is whole. */
export class PkiFileError extends Error {
  override readonly name = "PkiFileError";
}

export interface PemPaths {
  certificate: string;
  key: string;
}

export function pemPaths(folder: string, name: string): PemPaths {
  return { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
}

/** Writes both files, or neither; makes the folder, which then is its owner's alone. */
export function writePem(paths: PemPaths, folder: string, pem: Pem): void {
  for (const path of [paths.key, paths.certificate]) {
    if (existsSync(path)) throw new PkiFileError(`${path} exists: remove it first, or choose another --dir or --name`);
  }
  const written: string[] = [];
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // "wx": should somebody else make the file in between, it stays theirs.
    writeFileSync(paths.key, pem.key, { mode: 0o600, flag: "wx" });
    written.push(paths.key);
    writeFileSync(paths.certificate, pem.certificate, { mode: 0o644, flag: "wx" });
  } catch (error) {
    for (const path of written) rmSync(path, { force: true });
    throw new PkiFileError(`cannot write to ${folder}: ${(error as Error).message}`);
  }
}

export function readPem(paths: PemPaths): Pem {
  return { certificate: readText(paths.certificate), key: readText(paths.key) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new PkiFileError(
      missing ? `${path} does not exist: run bats-proxy pki init first, or name its --dir` : (error as Error).message,
    );
  }
}
