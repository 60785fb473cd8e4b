/** IP addresses from text to bytes and back; IPv6 as RFC 4291 reads and RFC 5952 recommends to write. */

/** The four bytes; `ip` must be an IPv4 address. */
export function parseIpv4(ip: string): number[] {
  return ip.split(".").map(Number);
}

/** The 16 bytes of an IPv6 address without zone, or of an IPv4 address as mapped (RFC 4291, section 2.5.5.2). */
export function ipv6Bytes(ip: string): Uint8Array {
  const bytes = new Uint8Array(16);
  if (!ip.includes(":")) {
    bytes[10] = bytes[11] = 0xff;
    bytes.set(parseIpv4(ip), 12);
    return bytes;
  }
  const [head, tail] = ip.split("::", 2);
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const view = new DataView(bytes.buffer);
  before.forEach((group, i) => {
    view.setUint16(2 * i, group);
  });
  after.forEach((group, i) => {
    view.setUint16(16 - 2 * (after.length - i), group);
  });
  return bytes;
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a, b, c, d] = parseIpv4(group);
    return [(a << 8) | b, (c << 8) | d];
  });
}

/** The text of 16 bytes at `offset`; dotted when they are a mapped IPv4 address. */
export function formatIpv6(view: DataView, offset: number): string {
  const mapped =
    view.getUint32(offset) === 0 && view.getUint32(offset + 4) === 0 && view.getUint32(offset + 8) === 0xffff;
  if (mapped) return formatIpv4(view, offset + 12);
  const words = Array.from({ length: 8 }, (_, i) => view.getUint16(offset + 2 * i));
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const text = words.map((word) => word.toString(16));
  if (start === -1) return text.join(":");
  return `${text.slice(0, start).join(":")}::${text.slice(start + length).join(":")}`;
}

export function formatIpv4(view: DataView, offset: number): string {
  return Array.from({ length: 4 }, (_, i) => view.getUint8(offset + i)).join(".");
}
