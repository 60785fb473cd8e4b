/**
 * Where a forward listens and what it reaches, as text: `tcp:HOST:PORT`, `udp:HOST:PORT`, `unix:PATH`, and `LISTEN=TARGET`. IPv6
 * addresses stand in brackets. `{identity}` inside a host or path stands for the client's name (see identity.ts). Text and
 * values only: nothing is looked up or opened here.
 */

export type ForwardEndpoint = SocketEndpoint | UnixEndpoint;

export interface SocketEndpoint {
  readonly kind: "tcp" | "udp";
  /** A name, an IPv4 address, or an IPv6 address without its brackets. Lower case. */
  readonly host: string;
  /** 1 to 65535; 0 only where one listens, and means any free port. */
  readonly port: number;
}

export interface UnixEndpoint {
  readonly kind: "unix";
  readonly path: string;
}

/** `LISTEN=TARGET`: who connects to `listen` reaches `target`. */
export interface Forward {
  readonly listen: ForwardEndpoint;
  readonly target: ForwardEndpoint;
}

/** Text that is not an endpoint, a forward or a rule. The message is whole: what, where, and what would be right. */
export class EndpointSyntaxError extends Error {
  override readonly name = "EndpointSyntaxError";
}

const FORMS = "tcp:HOST:PORT, udp:HOST:PORT or unix:PATH";

/** The longest path that fits a sockaddr_un on Linux, with its final zero. */
const MAX_UNIX_PATH_BYTES = 107;

/** RFC 1123 names and dotted IPv4, with `_` as service names have it, and `{identity}`. */
const HOST = /^(?:[a-z0-9_]|\{identity\})(?:[a-z0-9._-]|\{identity\})*$/;
const IPV6 = /^[0-9a-f:.]*:[0-9a-f:.]*(?:%[a-z0-9._-]+)?$/;

export interface ParseOptions {
  /** Accepts port 0, and a port alone as in `tcp:8080`, which listens on the loopback address. */
  listen?: boolean;
}

export function parseEndpoint(text: string, { listen = false }: ParseOptions = {}): ForwardEndpoint {
  const colon = text.indexOf(":");
  const kind = text.slice(0, Math.max(colon, 0));
  const rest = text.slice(colon + 1);
  if (kind === "unix") return { kind, path: checkedPath(rest, text) };
  if (kind !== "tcp" && kind !== "udp") throw syntax(text, `"${kind || text}" is no kind of endpoint: write ${FORMS}`);
  if (listen && /^\d+$/.test(rest)) return { kind, host: "127.0.0.1", port: parsePort(rest, text, 0) };
  const { host, port } = splitHostPort(rest, text);
  return { kind, host: checkedHost(host, text), port: parsePort(port, text, listen ? 0 : 1) };
}

export function formatEndpoint(endpoint: ForwardEndpoint): string {
  if (endpoint.kind === "unix") return `unix:${endpoint.path}`;
  const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
  return `${endpoint.kind}:${host}:${endpoint.port}`;
}

export function parseForward(text: string): Forward {
  const [left, right] = splitAtEndpoint(text);
  if (right === "")
    throw syntax(text, `a forward is LISTEN=TARGET, each ${FORMS}, as in tcp:127.0.0.1:8080=tcp:10.0.0.7:80`);
  const listen = parseEndpoint(left, { listen: true });
  const target = parseEndpoint(right);
  if ((listen.kind === "udp") !== (target.kind === "udp")) {
    throw syntax(text, "datagrams go to datagrams and connections to connections: both sides udp, or neither");
  }
  return { listen, target };
}

export function formatForward({ listen, target }: Forward): string {
  return `${formatEndpoint(listen)}=${formatEndpoint(target)}`;
}

/** `HOST:PORT`, `[IPV6]:PORT`, as `--connect` takes it. */
export function parseHostPort(text: string): { host: string; port: number } {
  const { host, port } = splitHostPort(text, text);
  return { host: checkedHost(host, text), port: parsePort(port, text, 1) };
}

/** `[HOST:]PORT`, as `--listen` takes it; without a host, undefined. Port 0 means any. */
export function parseListenAddress(text: string): { host: string | undefined; port: number } {
  if (/^\d+$/.test(text)) return { host: undefined, port: parsePort(text, text, 0) };
  const { host, port } = splitHostPort(text, text);
  return { host: checkedHost(host, text), port: parsePort(port, text, 0) };
}

/** Whether `{identity}` is in it. */
export function hasPlaceholder(endpoint: ForwardEndpoint): boolean {
  return (endpoint.kind === "unix" ? endpoint.path : endpoint.host).includes("{identity}");
}

/** `endpoint` with `{identity}` replaced by `name`, which is one path segment already (identity.ts); checked anew. */
export function expandIdentity(endpoint: ForwardEndpoint, name: string): ForwardEndpoint {
  if (!hasPlaceholder(endpoint)) return endpoint;
  const text = formatEndpoint(endpoint);
  if (endpoint.kind === "unix") {
    return { kind: "unix", path: checkedPath(endpoint.path.replaceAll("{identity}", name), text) };
  }
  const host = endpoint.host.replaceAll("{identity}", name.toLowerCase());
  return { ...endpoint, host: checkedHost(host, text) };
}

/** Splits `LEFT=RIGHT` before the first endpoint that follows an equals sign; `right` is "" when there is none. */
export function splitAtEndpoint(text: string): [left: string, right: string] {
  const at = text.search(/=(?:tcp|udp|unix):/);
  if (at >= 0) return [text.slice(0, at), text.slice(at + 1)];
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}

export function syntax(text: string, problem: string): EndpointSyntaxError {
  return new EndpointSyntaxError(`${JSON.stringify(text)}: ${problem}`);
}

function splitHostPort(rest: string, text: string): { host: string; port: string } {
  if (rest.startsWith("[")) {
    const end = rest.indexOf("]");
    if (end < 0) throw syntax(text, "the bracket of the IPv6 address is not closed: write [2001:db8::1]:443");
    const host = rest.slice(1, end);
    if (!host.includes(":")) throw syntax(text, `brackets are for IPv6 addresses, "${host}" is none: write it without`);
    if (rest[end + 1] !== ":") throw syntax(text, `the port is missing: write [${host}]:PORT`);
    return { host, port: rest.slice(end + 2) };
  }
  const colon = rest.lastIndexOf(":");
  if (colon < 0)
    throw syntax(
      text,
      /^\d+$/.test(rest) ? "the host is missing: write HOST:PORT" : "the port is missing: write HOST:PORT",
    );
  const host = rest.slice(0, colon);
  if (host.includes(":"))
    throw syntax(text, `an IPv6 address stands in brackets: write [${host}]:${rest.slice(colon + 1)}`);
  return { host, port: rest.slice(colon + 1) };
}

function checkedHost(host: string, text: string): string {
  const lower = host.toLowerCase();
  if (lower === "") throw syntax(text, "the host is missing: write a name or an address before the port");
  if (lower.includes(":") ? IPV6.test(lower) : HOST.test(lower)) return lower;
  throw syntax(text, `"${host}" is neither a host name nor an address`);
}

function parsePort(port: string, text: string, least: number): number {
  const value = /^\d{1,5}$/.test(port) ? Number(port) : -1;
  if (value >= least && value <= 65_535) return value;
  throw syntax(text, `"${port}" is no port: it is a number from ${least} to 65535`);
}

function checkedPath(path: string, text: string): string {
  if (path === "") throw syntax(text, "the path is missing: write unix:/run/example.sock");
  // A path with "=tcp:" in it could not be told from a forward.
  if (/[\0\n\r]|=(?:tcp|udp|unix):/.test(path))
    throw syntax(text, "the path has a character in it that paths here cannot have");
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_UNIX_PATH_BYTES) {
    throw syntax(text, `the path is ${bytes} bytes long; a socket's path has at most ${MAX_UNIX_PATH_BYTES}`);
  }
  return path;
}
