/**
 * Interfaces, addresses and routes of Linux through rtnetlink(7): the few requests that a TUN device needs, each answered at once. The
 * kernel's own interface, so that no `ip` program has to be there.
 */
import { errnoName, type Libc, NativeMemory } from "../native/libc.ts";
import type { Network } from "./network.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;

const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER_BYTES = 16;

const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;

const IFF_UP = 1;
const IFLA_MTU = 4;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
/** No duplicate address detection: there is nobody to ask on a TUN device. */
const IFA_F_NODAD = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;

/** What the kernel puts into one answer to a dump, at most; its own tools offer as much. */
const ANSWER_BYTES = 32_768;
/** `struct ifaddrmsg`, before the attributes. */
const ADDRESS_BYTES = 8;

/** The kernel's refusal. */
export class NetlinkError extends Error {
  /** EPERM, EEXIST, ... */
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export class Rtnetlink {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #memory: NativeMemory;
  #sequence = 0;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw new NetlinkError(errnoName(libc.errno()));
    this.#memory = new NativeMemory(libc, ANSWER_BYTES);
  }

  setMtu(index: number, mtu: number): void {
    this.#request(RTM_NEWLINK, 0, link(index, 0, 0), attribute(IFLA_MTU, u32(mtu)));
  }

  setUp(index: number): void {
    this.#request(RTM_NEWLINK, 0, link(index, IFF_UP, IFF_UP));
  }

  setDown(index: number): void {
    this.#request(RTM_NEWLINK, 0, link(index, 0, IFF_UP));
  }

  /** Whether an interface has exactly this address and prefix length, be it up or not. Needs no privilege. */
  hasAddress(index: number, network: Network): boolean {
    const { bytes, view } = this.#memory;
    this.#send(RTM_GETADDR, NLM_F_DUMP, Uint8Array.from([familyOf(network), 0, 0, 0, 0, 0, 0, 0]));
    let found = false;
    for (;;) {
      const end = this.#receive();
      for (let at = 0; at + HEADER_BYTES <= end; ) {
        const length = view.getUint32(at, true);
        const type = view.getUint16(at + 4, true);
        if (type === NLMSG_DONE) return found;
        if (type === NLMSG_ERROR) throw new NetlinkError(errnoName(-view.getInt32(at + HEADER_BYTES, true)));
        const head = at + HEADER_BYTES;
        if (
          type === RTM_NEWADDR &&
          view.getUint32(head + 4, true) === index &&
          bytes[head + 1] === network.prefixLength
        ) {
          found ||= this.#hasAttribute(head + ADDRESS_BYTES, at + length, network.address);
        }
        at += Math.max(HEADER_BYTES, (length + 3) & ~3);
      }
    }
  }

  addAddress(index: number, network: Network): void {
    this.#request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ...address(index, network));
  }

  removeAddress(index: number, network: Network): void {
    this.#request(RTM_DELADDR, 0, ...address(index, network));
  }

  addRoute(index: number, network: Network): void {
    this.#request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, ...route(index, network));
  }

  removeRoute(index: number, network: Network): void {
    this.#request(RTM_DELROUTE, 0, ...route(index, network));
  }

  close(): void {
    this.#libc.close(this.#fd);
  }

  /** Whether an address among the attributes is this one: on a link of two ends the own one is IFA_LOCAL, else both are. */
  #hasAttribute(start: number, end: number, wanted: Uint8Array): boolean {
    const { bytes, view } = this.#memory;
    let address = -1;
    for (let at = start; at + 4 <= end; at += Math.max(4, (view.getUint16(at, true) + 3) & ~3)) {
      const type = view.getUint16(at + 2, true);
      if (type === IFA_LOCAL || (type === IFA_ADDRESS && address < 0)) address = at + 4;
    }
    return address >= 0 && wanted.every((byte, i) => bytes[address + i] === byte);
  }

  /** Returns the request's number. */
  #send(type: number, flags: number, ...parts: Uint8Array[]): number {
    const libc = this.#libc;
    const { bytes, view, address } = this.#memory;
    let at = HEADER_BYTES;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const sequence = ++this.#sequence;
    view.setUint32(0, at, true);
    view.setUint16(4, type, true);
    view.setUint16(6, NLM_F_REQUEST | flags, true);
    view.setUint32(8, sequence, true);
    view.setUint32(12, 0, true);
    if (libc.write(this.#fd, address, at) < 0) throw new NetlinkError(errnoName(libc.errno()));
    return sequence;
  }

  /** Reads an answer, the bytes of which it returns; the kernel has answered before the request's `write` returns. */
  #receive(): number {
    const { bytes, address } = this.#memory;
    const length = this.#libc.read(this.#fd, address, bytes.length);
    if (length < 0) throw new NetlinkError(errnoName(this.#libc.errno()));
    return length;
  }

  #request(type: number, flags: number, ...parts: Uint8Array[]): void {
    const { view } = this.#memory;
    const sequence = this.#send(type, NLM_F_ACK | flags, ...parts);
    const length = this.#receive();
    if (length < HEADER_BYTES + 4 || view.getUint16(4, true) !== NLMSG_ERROR || view.getUint32(8, true) !== sequence) {
      throw new NetlinkError("EPROTO");
    }
    const error = -view.getInt32(HEADER_BYTES, true);
    if (error !== 0) throw new NetlinkError(errnoName(error));
  }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** `struct rtattr`: length and type, data padded to four. */
function attribute(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + data.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + data.length, true);
  view.setUint16(2, type, true);
  bytes.set(data, 4);
  return bytes;
}

/** `struct ifinfomsg`: family, type, index, flags, which flags change. */
function link(index: number, flags: number, changed: number): Uint8Array {
  return Uint8Array.from([...new Uint8Array(4), ...u32(index), ...u32(flags), ...u32(changed)]);
}

function familyOf({ address }: Network): number {
  return address.length === 4 ? AF_INET : AF_INET6;
}

/** `struct ifaddrmsg`: family, prefix length, flags, scope, index. */
function address(index: number, network: Network): Uint8Array[] {
  const head = Uint8Array.from([familyOf(network), network.prefixLength, IFA_F_NODAD, 0, ...u32(index)]);
  return [head, attribute(IFA_LOCAL, network.address), attribute(IFA_ADDRESS, network.address)];
}

/** `struct rtmsg`: family, lengths of destination and source, TOS, table, protocol, scope, type, flags. */
function route(index: number, network: Network): Uint8Array[] {
  const scope = network.address.length === 4 ? RT_SCOPE_LINK : 0;
  const head = [familyOf(network), network.prefixLength, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST];
  const bytes = Uint8Array.from([...head, 0, 0, 0, 0]);
  return [bytes, attribute(RTA_DST, network.address), attribute(RTA_OIF, u32(index))];
}
