/** Datagrams over TLS on TCP, for networks where UDP does not pass. */
export { CarrierListener } from "./carrier-listener.ts";
export { CarrierSocket } from "./carrier-socket.ts";
export { FallbackPath } from "./fallback-path.ts";
