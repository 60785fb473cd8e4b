/**
 * Names from the other end, before anything is done with them: what may stand under a folder, and where a symbolic link may lead.
 * Bytes only; what is on the disk is looked at in folder.ts.
 */

import { createHash } from "node:crypto";

export const MAX_PATH_BYTES = 4000;
export const MAX_NAME_BYTES = 255;

/** Ends the name of a file that is not whole yet; its beginning is a dot. No name that is sent ends so. */
const PARTIAL_SUFFIX = ".bats-part";

const SLASH = 0x2f;

/** Names that lead to devices on Windows, with any ending. */
const DEVICE = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i;

/** What is wrong with a relative path that the other end names; null for nothing. */
export function pathFault(path: Buffer, platform: NodeJS.Platform = process.platform): string | null {
  if (path.length === 0) return "has no name";
  if (path.length > MAX_PATH_BYTES) return `has a path of ${path.length} bytes; ${MAX_PATH_BYTES} is the most`;
  if (path[0] === SLASH) return "has an absolute path";
  if (path.includes(0)) return "has a zero byte in its name";
  for (const name of segmentsOf(path)) {
    const fault = nameFault(name, platform);
    if (fault !== null) return fault;
  }
  return null;
}

function nameFault(name: Buffer, platform: NodeJS.Platform): string | null {
  if (name.length === 0) return "has an empty name in its path";
  if (name.length > MAX_NAME_BYTES) return `has a name of ${name.length} bytes; ${MAX_NAME_BYTES} is the most`;
  const text = name.toString("latin1");
  if (text === "." || text === "..") return `has "${text}" in its path`;
  if (isPartialName(name)) return `has a name that ends in ${PARTIAL_SUFFIX}, as those of unfinished files do`;
  if (platform === "win32" && (/[<>:"|?*\\\p{Cc}]|[. ]$/u.test(name.toString()) || DEVICE.test(text))) {
    return "has a name that is none on Windows";
  }
  return null;
}

/**
 * Whether a link at `path` that leads to `target` stays below the folder, whatever other such links are on its way. So ".." may only
 * stand in front: behind a name it would lead above the place that this name, being a link, leads to.
 */
export function staysInside(path: Buffer, target: Buffer, platform: NodeJS.Platform = process.platform): boolean {
  if (target.length === 0 || target[0] === SLASH || target.includes(0)) return false;
  if (platform === "win32" && /^[A-Za-z]:|\\/.test(target.toString("latin1"))) return false;
  let depth = segmentsOf(path).length - 1;
  let descended = false;
  for (const name of segmentsOf(target)) {
    const text = name.toString("latin1");
    if (text === "..") {
      if (descended || --depth < 0) return false;
    } else if (text !== "" && text !== ".") descended = true;
  }
  return true;
}

export function segmentsOf(path: Buffer): Buffer[] {
  const segments: Buffer[] = [];
  let from = 0;
  for (let at = path.indexOf(SLASH); at >= 0; at = path.indexOf(SLASH, from)) {
    segments.push(path.subarray(from, at));
    from = at + 1;
  }
  segments.push(path.subarray(from));
  return segments;
}

/** The directory of a relative path; empty for the folder itself. */
export function parentOf(path: Buffer): Buffer {
  const at = path.lastIndexOf(SLASH);
  return path.subarray(0, Math.max(0, at));
}

export function joinPath(folder: Buffer, path: Buffer): Buffer {
  if (folder.length === 0 || path.length === 0) return folder.length === 0 ? path : folder;
  return Buffer.concat([folder, folder[folder.length - 1] === SLASH ? Buffer.alloc(0) : Buffer.of(SLASH), path]);
}

/** Where a file is while it is not whole: beside its place, under a name that goes with it. */
export function partialOf(path: Buffer): Buffer {
  const parent = parentOf(path);
  const name = path.subarray(parent.length === 0 ? 0 : parent.length + 1);
  // A long name is cut, and told from others by its hash.
  const room = MAX_NAME_BYTES - PARTIAL_SUFFIX.length - 1;
  const stem =
    name.length <= room ? name : Buffer.concat([name.subarray(0, room - 17), Buffer.from(`~${shortHash(name)}`)]);
  return joinPath(parent, Buffer.concat([Buffer.from("."), stem, Buffer.from(PARTIAL_SUFFIX)]));
}

function shortHash(name: Buffer): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 16);
}

/** File systems may not tell upper from lower case. */
export function isPartialName(name: Buffer): boolean {
  return name.toString("latin1").toLowerCase().endsWith(PARTIAL_SUFFIX);
}

/** For messages; bytes that are no UTF-8 are shown as \xNN, and so are control characters. */
export function showPath(path: Buffer): string {
  const text = path.toString("utf8");
  const shown = Buffer.from(text, "utf8").equals(path) ? text : hexed(path);
  return shown.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function hexed(path: Buffer): string {
  return path.toString("latin1").replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
