/**
 * Who a peer is, for rules and logs: the names that its certificate bears. A name is data that the certificate's issuer chose,
 * not a path: it is encoded before it stands in one.
 */

/** What of a peer's certificate is read here. */
export interface CertificateNames {
  readonly commonName: string | null;
  /** With their kind as a prefix, as `node:crypto` prints them: "DNS:edge-1", "URI:spiffe://…", "IP Address:192.0.2.1". */
  readonly subjectAltNames: readonly string[];
}

/** Every name of a certificate that a rule may match: its CN, and each subject alternative name without its kind. */
export function namesOf({ commonName, subjectAltNames }: CertificateNames): string[] {
  const names = new Set<string>();
  if (commonName) names.add(commonName);
  for (const name of subjectAltNames) names.add(name.replace(/^(?:DNS|URI|IP Address|IP|email):/i, ""));
  names.delete("");
  return [...names];
}

/** The one name by which logs and `{identity}` mean the peer: the CN, or else its first alternative name; "" without any. */
export function nameOf(names: CertificateNames): string {
  return namesOf(names)[0] ?? "";
}

/**
 * `name` as one segment of a path: letters, digits and `._:@-` stand for themselves, any other byte is %XX, and so is a dot in
 * front, so that it is never `.`, `..`, hidden, or two segments. Different names stay different. Null for no name at all.
 */
export function pathSegment(name: string): string | null {
  if (name === "") return null;
  let segment = "";
  for (const byte of Buffer.from(name, "utf8")) {
    const character = String.fromCharCode(byte);
    const plain = /[A-Za-z0-9._:@-]/.test(character) && !(character === "." && segment === "");
    segment += plain ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return segment;
}

/** Whether `text` fits `pattern`, in which `*` stands for any characters, also none. All others stand for themselves. */
export function matchesPattern(pattern: string, text: string): boolean {
  // Greedy with one point to return to: linear in practice, at most |pattern| x |text|, whatever a peer's name is.
  let p = 0;
  let t = 0;
  let star = -1;
  let retry = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === "*") {
      star = p++;
      retry = t;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++retry;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
