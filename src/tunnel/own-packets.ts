/** Knows the packets in which a session itself travels, by where they go: none may enter the tunnel that they carry. */
import { ipv6Bytes } from "../native/ip-text.ts";
import { type Address, sameAddress } from "../transport/address.ts";
import { type IpPacket, PROTOCOL_TCP, PROTOCOL_UDP } from "../tun/index.ts";

export class OwnPackets {
  #peer: Address | null = null;
  #ip: Uint8Array = new Uint8Array(0);
  #port = 0;
  #protocol = 0;

  /** `peer`: where the session's other end is now. */
  update(peer: Address): void {
    if (this.#peer !== null && sameAddress(peer, this.#peer)) return;
    this.#peer = peer;
    this.#ip = addressBytes(peer);
    this.#port = peer.port;
    this.#protocol = peer.carrier === undefined ? PROTOCOL_UDP : PROTOCOL_TCP;
  }

  /** The other end's IP address, of 4 or 16 bytes. */
  get address(): Uint8Array {
    return this.#ip;
  }

  /** Whether a packet is one. Its destination, of `length` bytes, is at `at`. */
  has(packet: Uint8Array, ip: IpPacket, at: number, length: number): boolean {
    if (ip.protocol !== this.#protocol || ip.fragment || ip.transportAt + 4 > ip.totalBytes) return false;
    const port = (packet[ip.transportAt + 2] << 8) | packet[ip.transportAt + 3];
    if (port !== this.#port || length !== this.#ip.length) return false;
    for (let i = 0; i < length; i++) if (packet[at + i] !== this.#ip[i]) return false;
    return true;
  }
}

/** An IP address as it stands in packets: of 4 bytes, or 16. */
function addressBytes({ ip }: Address): Uint8Array {
  const bytes = ipv6Bytes(ip.split("%")[0]);
  const isMapped = bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
  return isMapped ? bytes.subarray(12) : bytes;
}
