/** Why a transfer, or one file of it, came to nothing. */

export type TransferFault =
  /** The other end does not speak this protocol, or breaks it. */
  | "protocol"
  /** The other end will not have it, or stopped it. */
  | "stopped"
  /** This end cannot: its disk is full, its folder gone. Concerns all of the transfer. */
  | "local";

/** Ends a transfer; trying again by itself would not help. */
export class TransferError extends Error {
  override readonly name = "TransferError";
  readonly fault: TransferFault;

  constructor(fault: TransferFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** Concerns one file, and is said of it; the others go on. */
export class FileError extends Error {
  override readonly name = "FileError";
}

const WORDS: Record<string, string> = {
  EACCES: "no permission",
  EPERM: "not permitted",
  ENOENT: "is not there any more",
  EISDIR: "is a directory",
  ENOTDIR: "is not in a directory",
  ELOOP: "is a symbolic link",
  ENAMETOOLONG: "its name is too long here",
  EILSEQ: "its name cannot be one here",
  EINVAL: "its name cannot be one here",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
  ENFILE: "too many files are open in the system",
  EFBIG: "is too large for the file system",
  ETXTBSY: "is a program that runs",
  EBUSY: "is in use",
  EXDEV: "is a mount point",
};

/** Errors of the system after which no other file will do better. */
const FATAL: Record<string, string> = {
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EIO: "the device fails (EIO)",
};

/** An error of the file system in words. Others are thrown on: they are not the file's. */
export function fileError(error: unknown): FileError | TransferError {
  if (error instanceof FileError || error instanceof TransferError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code !== "string" || !code.startsWith("E") || code.startsWith("ERR_")) throw error;
  if (FATAL[code] !== undefined) return new TransferError("local", FATAL[code]);
  return new FileError(WORDS[code] ?? `cannot be read or written (${code})`);
}

/** Whether it is the stream that failed: the other end gave it up, or the session is over. */
export function isStreamError(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && /^ERR_(?:BATS|STREAM)_/.test(code);
}
