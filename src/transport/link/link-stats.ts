/** What a link counts, beside what it drops (`drops.ts`). */

/** Counters since the link began. */
export interface LinkStats {
  sentPackets: number;
  sentBytes: number;
  receivedPackets: number;
  receivedBytes: number;
  /** Packets that held ACKs and nothing that asks for one, and their bytes. */
  ackPackets: number;
  ackBytes: number;
  ackedPackets: number;
  lostPackets: number;
  spuriousLosses: number;
  probes: number;
  mtuProbes: number;
  /** Frames of the extension range that were skipped. */
  skippedFrames: number;
  keyUpdates: number;
  pathChanges: number;
  failedValidations: number;
}

export function linkStats(): LinkStats {
  return {
    sentPackets: 0,
    sentBytes: 0,
    receivedPackets: 0,
    receivedBytes: 0,
    ackPackets: 0,
    ackBytes: 0,
    ackedPackets: 0,
    lostPackets: 0,
    spuriousLosses: 0,
    probes: 0,
    mtuProbes: 0,
    skippedFrames: 0,
    keyUpdates: 0,
    pathChanges: 0,
    failedValidations: 0,
  };
}
