/**
 * Addresses: an IP address with a port, as values. What a node is called and how packets find it is the network's
 * business, not an address's.
 */
/** An IP address and a UDP port. Immutable; compared by value (`sameAddress`), never by identity. */
export interface Address {
  /** IPv4 in dotted form or IPv6; one with a colon counts as IPv6. Not resolved, not normalised. */
  readonly ip: string;
  /** 1 to 65535. */
  readonly port: number;
  /** The number of the connection that carries datagrams in UDP's place (src/fallback); left out where UDP does. */
  readonly carrier?: number;
}

export function sameAddress(a: Address, b: Address): boolean {
  return a === b || (a.port === b.port && a.ip === b.ip && a.carrier === b.carrier);
}

/** "192.0.2.1:443" or "[2001:db8::1]:443"; with " over TLS" behind it where UDP is not what carries datagrams. */
export function formatAddress({ ip, port, carrier }: Address): string {
  const text = ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
  return carrier === undefined ? text : `${text} over TLS`;
}

/** Bytes of the IP and UDP headers: 20 + 8 for IPv4 (RFC 791, RFC 768), 40 + 8 for IPv6 (RFC 8200). */
export function udpHeaderBytes(ip: string): number {
  return ip.includes(":") ? 48 : 28;
}
