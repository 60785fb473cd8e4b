/**
 * Who may reach or listen where: rules `IDENTITY=ENDPOINT`, all of which allow; what no rule names is refused. In the identity
 * and in the endpoint's host, port and path `*` stands for any characters (in a path: of one segment). `{identity}` stands for
 * the peer's own name, encoded (identity.ts). Endpoints are compared as text: names are not looked up, so a rule for
 * `tcp:localhost:80` does not allow `tcp:127.0.0.1:80`, and a pattern that reads as addresses, `10.0.0.*`, no name such as
 * `10.0.0.evil.example`, which may lead anywhere.
 */
import { isIP } from "node:net";
import { type ForwardEndpoint, formatEndpoint, parseEndpoint, splitAtEndpoint, syntax } from "./forward-endpoint.ts";
import { type CertificateNames, matchesPattern, nameOf, namesOf, pathSegment } from "./identity.ts";

export interface Rule {
  readonly identity: string;
  readonly endpoint: EndpointPattern;
}

/** Patterns of IPv4 addresses; those of IPv6 have a colon in them, which no name has. */
const ADDRESSES = /^(?=.*\d)[\d.*]+$/;

interface EndpointPattern {
  readonly kind: ForwardEndpoint["kind"];
  /** A host, lower case, or a path. */
  readonly place: string;
  /** "" for a path. */
  readonly port: string;
}

export function parseRule(text: string): Rule {
  const [identity, endpoint] = splitAtEndpoint(text);
  if (identity === "" || endpoint === "") {
    throw syntax(text, "a rule is IDENTITY=ENDPOINT, as in 'edge-*=tcp:127.0.0.1:80', or '*=…' for everyone");
  }
  return { identity, endpoint: parsePattern(endpoint, text) };
}

export class Permissions {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  get empty(): boolean {
    return this.#rules.length === 0;
  }

  /** Whether a peer of these names may have `endpoint`, in which `{identity}` was expanded already. */
  allows(peer: CertificateNames, endpoint: ForwardEndpoint): boolean {
    const segment = pathSegment(nameOf(peer));
    const names = namesOf(peer);
    return this.#rules.some(
      (rule) =>
        names.some((name) => matchesPattern(rule.identity, name)) && matchesEndpoint(rule.endpoint, endpoint, segment),
    );
  }
}

function parsePattern(text: string, rule: string): EndpointPattern {
  // What remains when each * is a digit, or a group of an address, must be an endpoint, so that a mistyped rule is an error and not
  // a rule for nothing.
  const star = text.replace(/\[(?=[^\]]*:)[0-9a-f:.]*\*[0-9a-f:.*]*\]/i, "[::]").replaceAll("*", "0");
  const shape = /^(?:tcp|udp):\*$/.test(text) ? null : parseEndpoint(star, { listen: true });
  const kind = text.slice(0, text.indexOf(":")) as ForwardEndpoint["kind"];
  const rest = text.slice(kind.length + 1);
  if (shape === null) return { kind, place: "*", port: "*" };
  if (shape.kind === "unix") {
    if (rest.split("/").includes("..")) throw syntax(rule, 'a path in a rule has no ".." in it');
    return { kind, place: rest, port: "" };
  }
  const colon = rest.lastIndexOf(":");
  const host = colon < 0 ? "127.0.0.1" : rest.slice(0, colon);
  return { kind, place: host.replace(/^\[|\]$/g, "").toLowerCase(), port: rest.slice(colon + 1) };
}

function matchesEndpoint(pattern: EndpointPattern, endpoint: ForwardEndpoint, segment: string | null): boolean {
  if (pattern.kind !== endpoint.kind) return false;
  if (pattern.place.includes("{identity}") && segment === null) return false;
  // An encoded name has no * in it: it cannot widen the rule.
  const place = pattern.place.replaceAll("{identity}", segment ?? "");
  if (endpoint.kind === "unix") return matchesPath(place, endpoint.path);
  const host = pattern.place.includes("{identity}") ? place.toLowerCase() : place;
  if (ADDRESSES.test(host) && isIP(endpoint.host) === 0) return false;
  return matchesPattern(host, endpoint.host) && matchesPattern(pattern.port, String(endpoint.port));
}

/** Segment by segment: a `*` never reaches over a slash, and `..` never matches. */
function matchesPath(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const segments = path.split("/");
  if (wanted.length !== segments.length) return false;
  return segments.every((segment, i) => segment !== ".." && segment !== "." && matchesPattern(wanted[i], segment));
}

/** Why a refusal happened, with what would mend it. */
export function refusalOf(
  peer: CertificateNames,
  endpoint: ForwardEndpoint,
  option: "--allow" | "--allow-listen",
): string {
  const name = nameOf(peer);
  const verb = option === "--allow" ? "reach" : "listen at";
  const where = formatEndpoint(endpoint);
  return `${name || "a peer without a name"} is not allowed to ${verb} ${where}: the server needs ${option} '${name || "*"}=${where}'`;
}
