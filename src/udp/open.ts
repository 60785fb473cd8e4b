/** Opens a UDP socket: settles the defaults and chooses the fastest way that this machine has. */
import { isIP } from "node:net";
import { type Libc, loadLibc } from "../native/libc.ts";
import type { BindOptions } from "./bind-options.ts";
import { DgramSocket } from "./dgram-socket.ts";
import { NativeSocket } from "./native-socket.ts";
import type { UdpSocket } from "./udp-socket.ts";

/** Which way datagrams take; "auto" is the native one where it works, else dgram. */
export type UdpIo = "auto" | "dgram" | "native";

export interface UdpSocketOptions {
  /**
   * Where to listen. Default all addresses, IPv4 and IPv6 on one socket, IPv4 alone where there is no IPv6; and a port
   * that the system chooses.
   */
  address?: { readonly ip?: string; readonly port?: number };
  /** Default "auto". */
  io?: UdpIo;
  /** With an IPv6 address: whether to leave out IPv4. Default false. */
  ipv6Only?: boolean;
  /** Sizes to ask the kernel for, which it may cut down (net.core.rmem_max, wmem_max). Default 4 MiB each. */
  receiveBufferBytes?: number;
  sendBufferBytes?: number;
}

const BUFFER_BYTES = 4 << 20;

/** Rejects with an error that says what is wrong with the address or the options and how to mend it. */
export async function openUdpSocket(options: UdpSocketOptions = {}): Promise<UdpSocket> {
  const { address = {}, io = "auto" } = options;
  if (!["auto", "dgram", "native"].includes(io)) {
    throw new TypeError(`io is ${JSON.stringify(io)}, wanted "auto", "dgram" or "native"`);
  }
  const { ip = "::", port = 0 } = address;
  if (isIP(ip) === 0) throw new TypeError(`address.ip is ${JSON.stringify(ip)}, wanted an IPv4 or IPv6 address`);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new TypeError(`address.port is ${port}, wanted an integer from 0 to 65535`);
  }
  const bind: BindOptions = {
    ip,
    port,
    ipv6Only: options.ipv6Only ?? false,
    receiveBufferBytes: options.receiveBufferBytes ?? BUFFER_BYTES,
    sendBufferBytes: options.sendBufferBytes ?? BUFFER_BYTES,
  };
  const libc = io === "dgram" ? null : await loadLibc();
  if (io === "native" && typeof libc === "string") throw new Error(`io "native" does not work here: ${libc}`);
  const way = typeof libc === "string" ? null : libc;
  try {
    return await openBound(bind, way);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (address.ip !== undefined || (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL")) throw error;
    return openBound({ ...bind, ip: "0.0.0.0" }, way);
  }
}

async function openBound(bind: BindOptions, libc: Libc | null): Promise<UdpSocket> {
  return libc === null ? DgramSocket.open(bind) : NativeSocket.open(libc, bind);
}
