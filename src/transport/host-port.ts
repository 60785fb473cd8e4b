/**
 * Hosts and ports as people write them: `HOST:PORT`, `[IPV6]:PORT`, and where one listens `PORT` alone. Text and values only: nothing
 * is looked up. An IPv6 address stands in brackets (RFC 3986, section 3.2.2), with its zone where it has one.
 */
import { isIP } from "node:net";

export interface HostPort {
  /** A name, an IPv4 address, or an IPv6 address without its brackets. Lower case; "" where none was said. */
  readonly host: string;
  readonly port: number;
}

/** Text that is not what it should be. The message is whole: `text`, and `problem`, which says what would be right. */
export class AddressSyntaxError extends Error {
  override readonly name = "AddressSyntaxError";
  readonly text: string;
  readonly problem: string;

  constructor(text: string, problem: string) {
    super(`${JSON.stringify(text)}: ${problem}`);
    this.text = text;
    this.problem = problem;
  }
}

/** RFC 1123 names and dotted IPv4, with `_` as service names have it. */
const HOST = /^[a-z0-9_][a-z0-9._-]*$/;

/** Reads `HOST:PORT`: where something is. */
export function parseHostPort(text: string): HostPort {
  const { host, port } = splitHostPort(text, text);
  return { host: checkedHost(host, text), port: parsePort(port, text, 1) };
}

/** Reads `[HOST:]PORT`: where one listens. Without a host, or with `*` for one, at all addresses; port 0 means any. */
export function parseListenAddress(text: string): HostPort {
  if (/^\d+$/.test(text)) return { host: "", port: parsePort(text, text, 0) };
  const { host, port } = splitHostPort(text, text);
  return { host: host === "" || host === "*" ? "" : checkedHost(host, text), port: parsePort(port, text, 0) };
}

/** Takes `hostPort` apart, unchecked. Errors speak of `text`, of which it is the end. */
export function splitHostPort(hostPort: string, text: string): { host: string; port: string } {
  if (hostPort.startsWith("[")) {
    const end = hostPort.indexOf("]");
    if (end < 0)
      throw new AddressSyntaxError(text, "the bracket of the IPv6 address is not closed: write [2001:db8::1]:443");
    const host = hostPort.slice(1, end);
    if (isIP(host) !== 6)
      throw new AddressSyntaxError(text, `brackets are for IPv6 addresses, "${host}" is none: write it without`);
    if (hostPort[end + 1] !== ":") throw new AddressSyntaxError(text, `the port is missing: write [${host}]:PORT`);
    return { host, port: hostPort.slice(end + 2) };
  }
  const colon = hostPort.lastIndexOf(":");
  if (colon < 0) {
    const what = /^\d+$/.test(hostPort) ? "host" : "port";
    throw new AddressSyntaxError(text, `the ${what} is missing: write HOST:PORT`);
  }
  const host = hostPort.slice(0, colon);
  const port = hostPort.slice(colon + 1);
  if (host.includes(":"))
    throw new AddressSyntaxError(text, `an IPv6 address stands in brackets: write [${host}]:${port}`);
  return { host, port };
}

export function checkedHost(host: string, text: string): string {
  const lower = host.toLowerCase();
  if (lower === "")
    throw new AddressSyntaxError(text, "the host is missing: write a name or an address before the port");
  if (isIP(lower) === 6 || HOST.test(lower)) return lower;
  throw new AddressSyntaxError(text, `"${host}" is neither a host name nor an address`);
}

export function parsePort(port: string, text: string, least: 0 | 1): number {
  const value = /^\d{1,5}$/.test(port) ? Number(port) : -1;
  if (value >= least && value <= 65_535) return value;
  throw new AddressSyntaxError(text, `"${port}" is no port: it is a number from ${least} to 65535`);
}
