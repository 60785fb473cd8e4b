/**
 * Socket addresses as Linux lays them out (`sockaddr_in`, `sockaddr_in6`), to and from `Address`. IPv4 on an IPv6 socket
 * is mapped (RFC 4291, section 2.5.5.2) here and nowhere else.
 */
import { networkInterfaces } from "node:os";
import { formatIpv4, formatIpv6, ipv6Bytes, parseIpv4 } from "../native/ip-text.ts";
import type { Address } from "../transport/address.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCKADDR_BYTES = { [AF_INET]: 16, [AF_INET6]: 28 } as const;
export type Family = typeof AF_INET | typeof AF_INET6;

/** Space for one address in an array of them. */
export const SOCKADDR_STRIDE = 32;

/** Whether an address lies outside of what a socket of the family can reach. */
export class WrongFamilyError extends Error {}

/** The bytes of `address` for a socket of `family`; throws WrongFamilyError for IPv6 on an IPv4 socket. */
export function encodeSockaddr(address: Address, family: Family): Uint8Array {
  const bytes = new Uint8Array(SOCKADDR_BYTES[family]);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, address.port);
  if (family === AF_INET) {
    if (address.ip.includes(":")) throw new WrongFamilyError(`${address.ip} on a socket for IPv4`);
    bytes.set(parseIpv4(address.ip), 4);
    return bytes;
  }
  const [ip, zone] = address.ip.split("%", 2);
  bytes.set(ipv6Bytes(ip), 8);
  if (zone !== undefined) view.setUint32(24, zoneIndex(zone), true);
  return bytes;
}

/** The address whose bytes lie at `offset`. */
export function decodeSockaddr(view: DataView, offset: number): Address {
  const port = view.getUint16(offset + 2);
  if (view.getUint16(offset, true) === AF_INET) return { ip: formatIpv4(view, offset + 4), port };
  const ip = formatIpv6(view, offset + 8);
  const scope = view.getUint32(offset + 24, true);
  return { ip: scope === 0 ? ip : `${ip}%${zoneName(scope)}`, port };
}

function zoneIndex(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone);
  return networkInterfaces()[zone]?.find((info) => info.family === "IPv6" && info.scopeid)?.scopeid ?? 0;
}

function zoneName(index: number): string {
  for (const [name, infos] of Object.entries(networkInterfaces())) {
    if (infos?.some((info) => info.family === "IPv6" && info.scopeid === index)) return name;
  }
  return String(index);
}

const ENTRIES = 1024;
const WORDS = 6;

/**
 * The `Address` objects of recent socket addresses, so that a packet costs a comparison and no garbage. Direct-mapped: a
 * collision only costs time.
 */
export class AddressCache {
  readonly #keys = new Uint32Array(ENTRIES * WORDS);
  readonly #addresses: (Address | undefined)[] = new Array(ENTRIES).fill(undefined);

  /** The address at `offset` of `view`, of which the kernel wrote all bytes. */
  at(view: DataView, offset: number): Address {
    const w0 = view.getUint32(offset, true);
    let w1 = view.getUint32(offset + 4, true);
    let w2 = 0;
    let w3 = 0;
    let w4 = 0;
    let w5 = 0;
    if ((w0 & 0xffff) === AF_INET6) {
      w1 = view.getUint32(offset + 8, true);
      w2 = view.getUint32(offset + 12, true);
      w3 = view.getUint32(offset + 16, true);
      w4 = view.getUint32(offset + 20, true);
      w5 = view.getUint32(offset + 24, true);
    }
    const hash = Math.imul(w0 ^ Math.imul(w1 ^ w2 ^ w3 ^ w4 ^ w5, 0x85eb_ca6b), 0x9e37_79b1) >>> 22;
    const keys = this.#keys;
    const key = hash * WORDS;
    const known = this.#addresses[hash];
    if (
      known !== undefined &&
      keys[key] === w0 &&
      keys[key + 1] === w1 &&
      keys[key + 2] === w2 &&
      keys[key + 3] === w3 &&
      keys[key + 4] === w4 &&
      keys[key + 5] === w5
    ) {
      return known;
    }
    const address = decodeSockaddr(view, offset);
    keys[key] = w0;
    keys[key + 1] = w1;
    keys[key + 2] = w2;
    keys[key + 3] = w3;
    keys[key + 4] = w4;
    keys[key + 5] = w5;
    this.#addresses[hash] = address;
    return address;
  }
}
