/**
 * What the users of a process's TCP sockets see when it is killed: the kernel closes the sockets, which looks like a proper end of
 * data. With SO_LINGER on and a time of zero (socket(7)) it resets them instead. Node does not offer the option, so this works where
 * the C library can be called (native/libc.ts), and elsewhere not at all.
 */
import type { Socket } from "node:net";
import { loadLibc, NativeMemory } from "../native/libc.ts";

const SOL_SOCKET = 1;
const SO_LINGER = 13;
const LINGER_BYTES = 8;

type SetLinger = (fd: number, on: boolean) => void;

let setLinger: SetLinger | null = null;

/** Once, before sockets are opened; whether it works here. */
export async function prepareLinger(): Promise<boolean> {
  const libc = await loadLibc();
  if (typeof libc === "string") return false;
  // struct linger: on or off, seconds.
  const value = new NativeMemory(libc, LINGER_BYTES);
  setLinger = (fd, on) => {
    value.view.setInt32(0, on ? 1 : 0, true);
    libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, value.address, LINGER_BYTES);
  };
  return true;
}

/** `on`: a socket that closes for whatever reason resets. To be taken back before a proper end. */
export function resetOnClose(socket: Socket, on: boolean): void {
  if (setLinger === null || socket.remoteFamily === undefined) return;
  const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd ?? -1;
  if (fd >= 0) setLinger(fd, on);
}
