/**
 * Where a forward listens and what it reaches, as text: `tcp:HOST:PORT`, `udp:HOST:PORT`, `unix:PATH`, and `LISTEN=TARGET`. IPv6
 * addresses stand in brackets. `{identity}` inside a host or path stands for the client's name (see identity.ts). Text and
 * values only: nothing is looked up or opened here. What is none of these is an `AddressSyntaxError`.
 */
import { AddressSyntaxError, checkedHost, parsePort, splitHostPort } from "../transport/host-port.ts";

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

const FORMS = "tcp:HOST:PORT, udp:HOST:PORT or unix:PATH";

/** The longest path that fits a sockaddr_un on Linux, with its final zero. */
const MAX_UNIX_PATH_BYTES = 107;

export interface ParseOptions {
  /** Accepts port 0, and a port alone as in `tcp:8080`, which listens on the loopback address. */
  listen?: boolean;
}

export function parseEndpoint(text: string, { listen = false }: ParseOptions = {}): ForwardEndpoint {
  const colon = text.indexOf(":");
  const kind = text.slice(0, Math.max(colon, 0));
  const rest = text.slice(colon + 1);
  if (kind === "unix") return { kind, path: checkedPath(rest, text) };
  if (kind !== "tcp" && kind !== "udp") {
    const meant = withKind(text, listen);
    throw syntax(
      text,
      meant === null
        ? `"${kind || text}" is no kind of endpoint: write ${FORMS}`
        : `its kind is missing: write ${meant}`,
    );
  }
  if (listen && /^\d+$/.test(rest)) return { kind, host: "127.0.0.1", port: parsePort(rest, text, 0) };
  const { host, port } = splitHostPort(rest, text);
  return { kind, host: hostOf(host, text), port: parsePort(port, text, listen ? 0 : 1) };
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
  const meant = [withKind(left, true) ?? left, withKind(right, false) ?? right].join("=");
  if (meant !== `${left}=${right}`) throw syntax(text, `the kinds of its sides are missing: write ${meant}`);
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

/** What was probably meant by a port, or a host and port, alone; null for other text. */
function withKind(text: string, listen: boolean): string | null {
  if (/^\d+$/.test(text)) return listen ? `tcp:${text}` : `tcp:127.0.0.1:${text}`;
  return /^(?!(?:tcp|udp|unix):)(?:\[[^\]]+\]|[^:/]+):\d+$/.test(text) ? `tcp:${text}` : null;
}

/** Splits `LEFT=RIGHT` before the first endpoint that follows an equals sign; `right` is "" when there is none. */
export function splitAtEndpoint(text: string): [left: string, right: string] {
  const at = text.search(/=(?:tcp|udp|unix):/);
  if (at >= 0) return [text.slice(0, at), text.slice(at + 1)];
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}

export function syntax(text: string, problem: string): AddressSyntaxError {
  return new AddressSyntaxError(text, problem);
}

/** A host in which `{identity}` may stand. */
function hostOf(host: string, text: string): string {
  const lower = host.toLowerCase();
  checkedHost(lower.replaceAll("{identity}", "identity"), text);
  return lower;
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
