/**
 * Tells systemd that the service is ready, or stops: sd_notify(3), a datagram to the Unix socket in $NOTIFY_SOCKET. Node has no
 * such sockets: the C library's are used where koffi is there, else the program systemd-notify, which needs NotifyAccess=all in the unit.
 * Does nothing where no service manager asked for it, and is never an error.
 */
import { execFile } from "node:child_process";
import { type Libc, loadLibc, NativeMemory } from "../native/libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** struct sockaddr_un: two bytes of family, 108 of path. */
const PATH_OFFSET = 2;
const PATH_BYTES = 108;

/** `state` is one of "READY=1", "STOPPING=1", "STATUS=…". */
export async function notifySystemd(state: string, environment: NodeJS.ProcessEnv = process.env): Promise<void> {
  const path = environment["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return;
  const libc = await loadLibc();
  if (typeof libc !== "string" && sendTo(libc, path, state)) return;
  await new Promise<void>((resolve) => {
    execFile("systemd-notify", [`--pid=${process.pid}`, state], () => resolve());
  });
}

function sendTo(libc: Libc, path: string, state: string): boolean {
  // An @ in front stands for the zero byte of the abstract namespace.
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : path);
  if (name.length >= PATH_BYTES) return false;
  const address = new NativeMemory(libc, PATH_OFFSET + PATH_BYTES);
  address.view.setUint16(0, AF_UNIX, true);
  address.bytes.set(name, PATH_OFFSET);
  const text = new NativeMemory(libc, Buffer.byteLength(state));
  text.bytes.set(Buffer.from(state));
  // struct iovec, then struct msghdr of 64-bit Linux.
  const vector = new NativeMemory(libc, 16);
  vector.setPointer(0, text.address);
  vector.view.setBigUint64(8, BigInt(text.bytes.length), true);
  const message = new NativeMemory(libc, 56);
  message.setPointer(0, address.address);
  message.view.setUint32(8, PATH_OFFSET + name.length + (path.startsWith("@") ? 0 : 1), true);
  message.setPointer(16, vector.address);
  message.view.setBigUint64(24, 1n, true);
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return false;
  const sent = libc.sendmsg(fd, message.address, MSG_NOSIGNAL);
  libc.close(fd);
  return sent >= 0;
}
