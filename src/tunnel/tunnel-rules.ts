/**
 * Who may have which addresses in a tunnel, and which networks behind them: rules `IDENTITY=tun`, any address of the server's
 * networks that no rule for a part of them gives to someone, and `IDENTITY=tun:NETWORK`, an address or a network and all in it. Of the
 * rules whose network what is asked for is in, those with the longest prefix decide alone.
 */
import { isIP } from "node:net";
import { syntax } from "../proxy/forward-endpoint.ts";
import { type CertificateNames, matchesPattern, nameOf, namesOf } from "../proxy/identity.ts";
import { TunError } from "../tun/index.ts";
import { type Network, networkOf, parseNetwork } from "../tun/network.ts";

export interface TunnelRule {
  readonly identity: string;
  /** Null: any free address. */
  readonly network: Network | null;
}

/** A rule for tunnels; null if it is one for something else. Throws an AddressSyntaxError. */
export function parseTunnelRule(text: string): TunnelRule | null {
  const match = /^(.*)=tun(?::(.*))?$/s.exec(text);
  if (match === null || /=(?:tcp|udp|unix):/.test(text)) return null;
  const [, identity, place] = match;
  if (identity === "") throw syntax(text, "a rule is IDENTITY=tun or IDENTITY=tun:ADDRESS, or '*=tun' for everyone");
  if (place === undefined) return { identity, network: null };
  try {
    return { identity, network: networkOf(parseAddressOrNetwork(place)) };
  } catch (error) {
    if (error instanceof TunError) throw syntax(text, error.message);
    throw error;
  }
}

/** An address is a network of its own. */
export function parseAddressOrNetwork(text: string): Network {
  if (text.includes("/")) return parseNetwork(text, "a network");
  const version = isIP(text);
  if (version === 0) {
    const words = `${JSON.stringify(text)} is neither an address nor a network, as 10.20.0.2 or 192.168.7.0/24`;
    throw new TunError(words, "ERR_INVALID_ARG_VALUE");
  }
  return parseNetwork(`${text}/${version === 4 ? 32 : 128}`, "an address");
}

/** Whether all of `inner` is in `outer`. */
export function contains(outer: Network, inner: Network): boolean {
  if (outer.address.length !== inner.address.length || outer.prefixLength > inner.prefixLength) return false;
  for (let i = 0; 8 * i < outer.prefixLength; i++) {
    const mask = 0xff00 >> Math.min(8, outer.prefixLength - 8 * i);
    if (((outer.address[i] ^ inner.address[i]) & mask & 0xff) !== 0) return false;
  }
  return true;
}

export class TunnelRules {
  readonly #rules: readonly TunnelRule[];
  readonly #own: readonly Network[];

  /** `own`: the server's addresses with their networks. */
  constructor(rules: readonly TunnelRule[], own: readonly Network[]) {
    this.#rules = rules;
    this.#own = own;
  }

  get empty(): boolean {
    return this.#rules.length === 0;
  }

  /** Why a peer may not have an address; null if it may. */
  refusesAddress(peer: CertificateNames, address: Network): string | null {
    const host = hostOf(address);
    const text = host.text.slice(0, host.text.indexOf("/"));
    const network = this.#own.find((own) => contains(own, host));
    if (this.#own.some((own) => same(own, host))) return `${text} is the server's own address`;
    const given = this.#givenBy(host);
    if (given.identities.some((identity) => matches(identity, peer))) return null;
    // Who has the server's network routed to it, or more, does not keep its addresses from others.
    if (given.prefixLength > (network?.prefixLength ?? -1)) return `${text} is kept for ${given.identities.join(", ")}`;
    if (network === undefined) return `${text} is in no network of the server's tunnel${this.#needs(peer, text)}`;
    if (isEdge(network, host)) return `${text} means no single host of ${network.text}`;
    if (this.#rules.some((rule) => rule.network === null && matches(rule.identity, peer))) return null;
    return `${nameOf(peer) || "a peer without a name"} is not allowed to have ${text}${this.#needs(peer, text)}`;
  }

  /** Why a network must not be routed to a peer; null if it may. */
  refusesRoute(peer: CertificateNames, route: Network): string | null {
    if (isOwnAddress(route, this.#own)) return `${route.text} is the server's own address`;
    const { identities } = this.#givenBy(route);
    if (identities.some((identity) => matches(identity, peer))) return null;
    if (identities.length > 0) return `${route.text} is kept for ${identities.join(", ")}`;
    const name = nameOf(peer) || "a peer without a name";
    return `${name} is not allowed to have ${route.text} routed to it${this.#needs(peer, route.text)}`;
  }

  /** Whether another may have a part of a network that someone has: the rules give just it to someone, or it is a client's address. */
  isApart(inner: Network, outer: Network): boolean {
    if (this.#givenBy(inner).prefixLength > outer.prefixLength) return true;
    const isAddress = inner.prefixLength === 8 * inner.address.length;
    return isAddress && this.#own.some((own) => own.prefixLength >= outer.prefixLength && contains(own, inner));
  }

  /** Whom the rules with the longest prefix that contains a network give it to; that is -1 where there is none. */
  #givenBy(wanted: Network): { identities: string[]; prefixLength: number } {
    let prefixLength = -1;
    let identities: string[] = [];
    for (const { identity, network } of this.#rules) {
      if (network === null || !contains(network, wanted) || network.prefixLength < prefixLength) continue;
      if (network.prefixLength > prefixLength) identities = [];
      prefixLength = network.prefixLength;
      identities.push(identity);
    }
    return { identities, prefixLength };
  }

  #needs(peer: CertificateNames, place: string): string {
    return `: the server needs --allow '${nameOf(peer) || "*"}=tun:${place}'`;
  }
}

/** Whether a network is one of the server's addresses and no more. */
export function isOwnAddress(network: Network, own: readonly Network[]): boolean {
  return own.some((address) => contains(hostOf(address), network));
}

/** The address alone. */
export function hostOf({ text, address }: Network): Network {
  const prefixLength = 8 * address.length;
  return { text: `${text.slice(0, text.indexOf("/"))}/${prefixLength}`, address, prefixLength };
}

function same(a: Network, b: Network): boolean {
  return Buffer.compare(a.address, b.address) === 0;
}

function matches(identity: string, peer: CertificateNames): boolean {
  return namesOf(peer).some((name) => matchesPattern(identity, name));
}

/** The first address of a network, and IPv4's last, which is for all of its hosts. */
function isEdge(network: Network, host: Network): boolean {
  if (network.prefixLength >= 8 * host.address.length - 1) return false;
  if (same(networkOf(network), host)) return true;
  if (host.address.length !== 4) return false;
  return host.address.every((byte, i) => {
    const hostBits = 0xff >> Math.min(8, Math.max(0, network.prefixLength - 8 * i));
    return (byte & hostBits) === hostBits;
  });
}
