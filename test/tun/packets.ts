/** Packets for tests, and a plain reading of the checksum's definition to compare with. */
export interface TcpFields {
  version?: 4 | 6;
  from?: number;
  to?: number;
  sourcePort?: number;
  sequence?: number;
  acknowledgement?: number;
  flags?: number;
  window?: number;
  identification?: number;
  dontFragment?: boolean;
  trafficClass?: number;
  hopLimit?: number;
  /** A multiple of four. */
  options?: Uint8Array;
}

export const ACK = 0x10;
export const PSH = 0x08;
export const FIN = 0x01;
export const CWR = 0x80;

/** RFC 1071 word by word, folded at each step. */
export function onesComplement(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

function pseudoHeader(ip: Uint8Array, headerBytes: number): Uint8Array {
  const ipv4 = ip[0] >> 4 === 4;
  const length = ip.length - headerBytes;
  const addresses = ipv4 ? ip.subarray(12, 20) : ip.subarray(8, 40);
  const protocol = ipv4 ? ip[9] : ip[6];
  return Uint8Array.from([...addresses, 0, 0, length >> 8, length & 0xff, 0, protocol]);
}

function ipHeader(fields: TcpFields, protocol: number, payloadBytes: number): Uint8Array {
  const { version = 4, from = 1, to = 2, trafficClass = 0, hopLimit = 64 } = fields;
  if (version === 6) {
    const ip = new Uint8Array(40);
    ip[0] = 0x60 | (trafficClass >> 4);
    ip[1] = (trafficClass & 15) << 4;
    new DataView(ip.buffer).setUint16(4, payloadBytes);
    ip[6] = protocol;
    ip[7] = hopLimit;
    ip[8] = ip[24] = 0xfd;
    ip[23] = from;
    ip[39] = to;
    return ip;
  }
  const ip = new Uint8Array(20);
  const view = new DataView(ip.buffer);
  ip[0] = 0x45;
  ip[1] = trafficClass;
  view.setUint16(2, 20 + payloadBytes);
  view.setUint16(4, fields.identification ?? 0);
  view.setUint16(6, fields.dontFragment === false ? 0 : 0x4000);
  ip[8] = hopLimit;
  ip[9] = protocol;
  ip.set([10, 0, 0, from], 12);
  ip.set([10, 0, 0, to], 16);
  view.setUint16(10, ~onesComplement(ip) & 0xffff);
  return ip;
}

export function tcpPacket(data: Uint8Array, fields: TcpFields = {}): Uint8Array {
  const options = fields.options ?? new Uint8Array(0);
  const tcp = new Uint8Array(20 + options.length + data.length);
  const view = new DataView(tcp.buffer);
  view.setUint16(0, fields.sourcePort ?? 1000);
  view.setUint16(2, 80);
  view.setUint32(4, fields.sequence ?? 0);
  view.setUint32(8, fields.acknowledgement ?? 0);
  tcp[12] = (tcp.length - data.length) << 2;
  tcp[13] = fields.flags ?? ACK;
  view.setUint16(14, fields.window ?? 500);
  tcp.set(options, 20);
  tcp.set(data, 20 + options.length);
  return withTransport(fields, 6, tcp, 16);
}

export function udpPacket(data: Uint8Array, fields: TcpFields = {}): Uint8Array {
  const udp = new Uint8Array(8 + data.length);
  const view = new DataView(udp.buffer);
  view.setUint16(0, fields.sourcePort ?? 1000);
  view.setUint16(2, 53);
  view.setUint16(4, udp.length);
  udp.set(data, 8);
  return withTransport(fields, 17, udp, 6);
}

function withTransport(fields: TcpFields, protocol: number, transport: Uint8Array, checksumAt: number): Uint8Array {
  const header = ipHeader(fields, protocol, transport.length);
  const packet = Uint8Array.from([...header, ...transport]);
  const sum = onesComplement(Uint8Array.from([...pseudoHeader(packet, header.length), ...transport]));
  const checksum = ~sum & 0xffff;
  const value = checksum === 0 && protocol === 17 ? 0xffff : checksum;
  new DataView(packet.buffer).setUint16(header.length + checksumAt, value);
  return packet;
}

/** Where the transport header begins, for packets without options or extensions. */
export function transportAt(packet: Uint8Array): number {
  return packet[0] >> 4 === 4 ? 20 : 40;
}

/** As the kernel leaves it: only the sum of the pseudo-header in the checksum's place. */
export function withPartialChecksum(packet: Uint8Array, checksumAt: number): Uint8Array {
  const partial = packet.slice();
  const at = transportAt(packet);
  new DataView(partial.buffer).setUint16(at + checksumAt, onesComplement(pseudoHeader(packet, at)));
  return partial;
}

export interface VirtioFields {
  flags?: number;
  gsoType?: number;
  gsoSize?: number;
  checksumStart?: number;
  checksumOffset?: number;
}

export function withVirtioHeader(packet: Uint8Array, fields: VirtioFields = {}): Uint8Array {
  const whole = new Uint8Array(10 + packet.length);
  const view = new DataView(whole.buffer);
  view.setUint8(0, fields.flags ?? 0);
  view.setUint8(1, fields.gsoType ?? 0);
  view.setUint16(4, fields.gsoSize ?? 0, true);
  view.setUint16(6, fields.checksumStart ?? 0, true);
  view.setUint16(8, fields.checksumOffset ?? 0, true);
  whole.set(packet, 10);
  return whole;
}

export function counting(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (from + i) * 7);
}
