/** Options of the socket API that listeners and clients share, and what becomes of them. */

import { CONGESTION_CHOICES, congestionFactory } from "../congestion/index.ts";
import { PACING_BURST_MS } from "../endpoint/socket-driver.ts";
import type { LinkSettings } from "../endpoint/transport-endpoint.ts";
import { openUdpSocket, type UdpIo, type UdpSocket } from "../udp/index.ts";
import { BatsError } from "./errors.ts";
import { LINK_RANGES, type LinkTuning } from "./link-options.ts";

/** Options of the links of a client or listener. */
export interface CommonOptions extends LinkTuning {
  /** How datagrams get in and out of the kernel: "native" moves many at once, where that works. Default "auto". */
  io?: UdpIo;
}

/** Checks and translates what concerns links. */
export function linkSettings(options: CommonOptions): () => Omit<LinkSettings, "user" | "handshake" | "session"> {
  const { idleTimeoutMs, keepAliveMs, maxDatagramBytes, congestion = "bbr" } = options;
  checkNumber("idleTimeoutMs", idleTimeoutMs, ...LINK_RANGES.idleTimeoutMs);
  checkNumber("keepAliveMs", keepAliveMs, ...LINK_RANGES.keepAliveMs);
  checkNumber("maxDatagramBytes", maxDatagramBytes, ...LINK_RANGES.maxDatagramBytes);
  const create = congestionFactory(congestion, Math.random);
  if (create === null) {
    throw new BatsError(
      "ERR_BATS_ARGUMENT",
      `congestion is ${JSON.stringify(congestion)}, wanted ${CONGESTION_CHOICES}`,
    );
  }
  const fixed = {
    ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
    ...(keepAliveMs === undefined ? {} : { keepAliveMs }),
    ...(maxDatagramBytes === undefined ? {} : { maxDatagramBytes }),
  };
  return () => ({ ...fixed, congestion: create(), pacingBurstMs: PACING_BURST_MS });
}

/** Throws ERR_BATS_ARGUMENT when a number is there and out of range. */
export function checkNumber(name: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined || (value >= least && value <= most)) return;
  throw new BatsError("ERR_BATS_ARGUMENT", `${name} is ${value}, wanted a number from ${least} to ${most}`);
}

export async function openSocket(options: CommonOptions, address: { ip?: string; port?: number }): Promise<UdpSocket> {
  try {
    return await openUdpSocket({ address, ...(options.io === undefined ? {} : { io: options.io }) });
  } catch (error) {
    const code = error instanceof TypeError ? "ERR_BATS_ARGUMENT" : "ERR_BATS_BIND";
    throw new BatsError(code, (error as Error).message, { cause: error });
  }
}
