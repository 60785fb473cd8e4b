/** TUN devices: `openTun` and its contract, `TunDevice`; and what an IP packet says of itself. Nothing of sessions. */
export { IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "./ip-packet.ts";
export { openTun } from "./open-tun.ts";
export { type TunCounters, type TunDevice, TunError, type TunOffloads, type TunOptions } from "./tun-device.ts";
