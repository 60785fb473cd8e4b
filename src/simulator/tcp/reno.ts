/** Reno's window: half on loss, one segment more a round trip (RFC 5681). */
import type { CongestionAlgorithm, SenderView } from "./congestion.ts";

export class Reno implements CongestionAlgorithm {
  onAcked({ window }: SenderView, acked: number): void {
    const rest = window.inSlowStart ? window.slowStart(acked) : acked;
    if (rest > 0) window.increase(window.size, rest);
  }

  onRttSample(): void {}

  reduce({ window }: SenderView): number {
    return Math.max(Math.floor(window.size / 2), 2);
  }

  onTimeout(): void {}
}
