/**
 * Explicit congestion notification on the present path: whether to mark packets ECT(0), and how many came back marked CE. A path or a
 * peer that loses or forges the counts is not believed: marking stops on that path. Source: RFC 9000, section
 * 13.4.2 and appendix A.4.
 */

/** Packets marked before the first counts must be back. */
const TESTING_PACKETS = 10;

export class EcnValidator {
  #state: "testing" | "waiting" | "capable" | "failed";
  readonly #enabled: boolean;
  #tested = 0;
  #sent = 0;
  #ect0 = 0;
  #ce = 0;

  constructor(enabled: boolean) {
    this.#enabled = enabled;
    this.#state = enabled ? "testing" : "failed";
  }

  get state(): "testing" | "waiting" | "capable" | "failed" {
    return this.#state;
  }

  /** Whether the next packet is to be marked ECT(0). */
  get marks(): boolean {
    return this.#state === "testing" || this.#state === "capable";
  }

  onMarkedSent(): void {
    this.#sent++;
    if (this.#state === "testing" && ++this.#tested >= TESTING_PACKETS) this.#state = "waiting";
  }

  /**
   * An ACK newly acknowledged `newlyMarked` packets that left as ECT(0). Counts are the ACK's, NaN when it has none. Returns
   * by how much the count of CE grew, 0 when the counts are not believed.
   */
  onAck(newlyMarked: number, ect0: number, ect1: number, ce: number): number {
    if (newlyMarked === 0) return 0;
    const grownEct0 = ect0 - this.#ect0;
    const grownCe = ce - this.#ce;
    // Written so that NaN fails; ECT(1) was never sent.
    const valid = grownEct0 + grownCe >= newlyMarked && grownCe >= 0 && ect0 + ce <= this.#sent && ect1 === 0;
    if (ect0 >= this.#ect0) this.#ect0 = ect0;
    if (ce >= this.#ce) this.#ce = ce;
    if (!valid) this.#state = "failed";
    if (this.#state === "failed") return 0;
    this.#state = "capable";
    return grownCe;
  }

  /** A new path begins. The peer's counts go on. */
  restart(): void {
    if (!this.#enabled) return;
    this.#state = "testing";
    this.#tested = 0;
  }
}
