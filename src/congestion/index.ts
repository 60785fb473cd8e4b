/** Congestion controllers behind one interface. Not here: packets, ACKs, loss detection; those are the link's. */
export { Bbr } from "./bbr.ts";
export { CONGESTION_CHOICES, type CongestionChoice, congestionFactory } from "./choice.ts";
export type { CongestionController, CongestionMetrics, CongestionOptions, CongestionUpdate } from "./controller.ts";
export { Cubic } from "./cubic.ts";
export { FixedRate } from "./fixed.ts";
export { Pacer } from "./pacer.ts";
