/** Networks in text: an IP address and the length of its prefix, "10.20.0.1/24" (RFC 4632) or "fd20::1/64" (RFC 4291). */
import { isIP } from "node:net";
import { ipv6Bytes, parseIpv4 } from "../native/ip-text.ts";
import { TunError } from "./tun-device.ts";

export interface Network {
  readonly text: string;
  /** 4 or 16 bytes, host part included. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

/** `what` names the option in the error. */
export function parseNetwork(text: string, what: string): Network {
  const [ip, prefix, ...rest] = text.split("/");
  const version = isIP(ip);
  const longest = version === 4 ? 32 : 128;
  const prefixLength = /^\d{1,3}$/.test(prefix ?? "") ? Number(prefix) : Number.NaN;
  if (version === 0 || ip.includes("%") || !(prefixLength <= longest) || rest.length > 0) {
    throw new TunError(
      `${what} is ${JSON.stringify(text)}, wanted an address with its prefix length, as 10.20.0.1/24 or fd20::1/64`,
      "ERR_INVALID_ARG_VALUE",
    );
  }
  const address = version === 4 ? Uint8Array.from(parseIpv4(ip)) : ipv6Bytes(ip);
  return { text, address, prefixLength };
}

/** The network itself: the same without host part. */
export function networkOf({ text, address, prefixLength }: Network): Network {
  const masked = address.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, prefixLength - 8 * i));
    return byte & (0xff00 >> bits);
  });
  return { text, address: masked, prefixLength };
}
