/** What is to be sent: files and folders with all that is in them, in order of their names. Symbolic links inside are links, not followed. */
import type { Stats } from "node:fs";
import { lstat, readdir, readlink, realpath } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { FileError, fileError } from "./errors.ts";
import { mtimeUsOf } from "./folder.ts";
import type { Entry, EntryKind } from "./frames.ts";
import { isPartialName, joinPath, pathFault } from "./paths.ts";

/** A thing that can be sent, and where it is here. */
export interface Found {
  readonly entry: Entry;
  readonly source: Buffer;
}

/** One that cannot, and why. */
export interface Omitted {
  readonly path: Buffer;
  readonly text: string;
}

/** A path as the user named it. */
export interface Root {
  /** By which the other end gets it. */
  readonly name: Buffer;
  readonly source: Buffer;
}

/** So many are looked at at once. */
const LOOK_AT_ONCE = 32;

/** Throws a `FileError` for what is not there, has no name of its own, or the name of another one. */
export async function findRoots(paths: readonly string[]): Promise<Root[]> {
  const roots = new Map<string, Root>();
  for (const path of paths) {
    // A link that is named is followed: what is wanted is what it leads to.
    const source = await realpath(path, { encoding: "buffer" }).catch((error: NodeJS.ErrnoException) => {
      throw new FileError(
        `${path}: ${error.code === "ENOENT" ? "there is no such file or folder" : fileError(error).message}`,
      );
    });
    const name = basename(resolve(path));
    if (name === "")
      throw new FileError(`${path}: has no name that it could get at the other end: name a folder in it`);
    if (roots.has(name))
      throw new FileError(`${path}: another path has the name ${name}, too: send them one after the other`);
    roots.set(name, { name: Buffer.from(name), source });
  }
  return [...roots.values()];
}

export async function* walk(roots: readonly Root[]): AsyncGenerator<Found | Omitted> {
  for (const { name, source } of roots) yield* walkAt(name, source);
}

async function* walkAt(path: Buffer, source: Buffer): AsyncGenerator<Found | Omitted> {
  const found = await describe(path, source);
  yield found;
  if (!("entry" in found) || found.entry.kind !== "directory") return;
  let names: Buffer[];
  try {
    names = await readdir(source, { encoding: "buffer" });
  } catch (error) {
    yield { path, text: `what is in it cannot be listed: ${fileError(error).message}` };
    return;
  }
  // Unfinished files of an earlier transfer are nobody's.
  names = names.filter((name) => !isPartialName(name)).sort(Buffer.compare);
  for (let i = 0; i < names.length; i += LOOK_AT_ONCE) {
    const some = names.slice(i, i + LOOK_AT_ONCE);
    const all = await Promise.all(some.map((name) => describe(joinPath(path, name), joinPath(source, name))));
    for (const [j, one] of all.entries()) {
      if ("entry" in one && one.entry.kind === "directory") yield* walkAt(one.entry.path, joinPath(source, some[j]));
      else yield one;
    }
  }
}

/** One thing as it is now. */
export async function describe(path: Buffer, source: Buffer): Promise<Found | Omitted> {
  const fault = pathFault(path);
  if (fault !== null) return { path, text: fault };
  try {
    const stats = await lstat(source);
    const kind = kindOf(stats);
    if (kind === null) return { path, text: "is a device, socket or pipe, which are not sent" };
    const target = kind === "link" ? await readlink(source, { encoding: "buffer" }) : Buffer.alloc(0);
    const sizeBytes = kind === "file" ? stats.size : 0;
    return { entry: { kind, path, mode: stats.mode & 0o7777, mtimeUs: mtimeUsOf(stats), sizeBytes, target }, source };
  } catch (error) {
    return { path, text: fileError(error).message };
  }
}

function kindOf(stats: Stats): EntryKind | null {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "link" : null;
}
