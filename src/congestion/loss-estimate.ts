/**
 * The share of packets that the path loses whatever is sent, from experiments: each gives how many of n packets, sent so
 * slowly that no queue or policer of ours can have been the cause, were lost. Recent experiments are pooled. One that cannot
 * be chance starts anew: at once when it shows less loss; when it shows more, once two others agree, and then by the least that
 * they show, so that a neighbour's burst is not taken for the path's nature. Nor does one raise the estimate, not even a little,
 * through which a queue stood. Knows nothing of how an experiment is made.
 */
const POOL = 8;
/** Beyond this nothing is compensated: no path that is worth using loses more. */
const MOST_LOSS = 0.6;
/** Standard deviations beyond which a difference is not chance. */
const SIGNIFICANT = 2.5;
/** The same for less loss, which is believed at once. */
const CERTAIN = 3.5;
/** Experiments that have to agree before more loss is believed. */
const AGREEING = 3;
/** Experiments that shall raise the estimate lie at least this far apart. */
export const APART_MS = 1000;

/** A first experiment through which a queue stood and that lost more than this may have lost it to that queue. */
export const PROVISIONAL_SHARE = 0.2;

export class LossEstimate {
  /** 0 before the first experiment. */
  share = 0;
  /** Experiments pooled in `share`. */
  experiments = 0;
  /** The last experiment showed more loss than chance explains; another one would tell. */
  doubtful = false;
  /** Variance of the number lost, relative to independent losses: 1, more for losses in bursts. */
  dispersion = 1;
  /** It comes from an experiment through which a queue stood, for want of a better one. */
  provisional = false;
  readonly #sent = new Float64Array(POOL);
  readonly #lost = new Float64Array(POOL);
  #next = 0;
  #pooled = 0;
  // Experiments in a row that showed more than chance explains, and the one of them that showed least.
  #doubts = 0;
  #doubtMs = 0;
  #candidateSent = 0;
  #candidateLost = 0;

  /** Standard deviation of the share lost of `packets`. */
  deviation(packets: number): number {
    // A pool in which nothing was lost only says that less than about one event a pool is usual.
    const pool = Math.max(this.#pooled, 1);
    const share = Math.min(Math.max(this.share, (this.dispersion - 1) / pool), 0.5);
    return Math.sqrt(share * (1 - share) * this.dispersion * (1 / Math.max(packets, 1) + 1 / pool));
  }

  /** `clear`: no queue stood while it was made. Else part of the loss may be others' doing, and it only counts if it shows less. */
  addExperiment(packets: number, lostPackets: number, clear: boolean, nowMs: number): void {
    if (packets <= 0) return;
    const lost = Math.min(Math.max(lostPackets, 0), packets);
    const share = lost / packets;
    const expected = Math.max(this.share, 1 / packets);
    const tolerance =
      SIGNIFICANT *
      Math.max(Math.sqrt((expected * (1 - expected) * this.dispersion) / packets), this.deviation(packets));
    if (this.provisional && (clear || share < this.share)) {
      this.#forget();
    } else if (this.experiments > 0 && share < this.share - (CERTAIN / SIGNIFICANT) * tolerance) {
      this.#forget();
    } else if (!clear && this.experiments > 0) {
      return;
    } else if (this.experiments > 0 && share > this.share + tolerance) {
      if (this.#doubts === 0 || share < this.#candidateLost / this.#candidateSent) {
        this.#candidateSent = packets;
        this.#candidateLost = lost;
      }
      // Experiments of one moment see one event: a newcomer's startup, say. They count once.
      if (this.#doubts > 0 && nowMs < this.#doubtMs + APART_MS) return;
      this.#doubtMs = nowMs;
      this.doubtful = ++this.#doubts < AGREEING;
      if (this.doubtful) return;
      this.#forget();
      this.#pool(this.#candidateSent, this.#candidateLost);
      return;
    }
    this.#doubts = 0;
    this.doubtful = false;
    if (this.experiments === 0) this.provisional = !clear && share > PROVISIONAL_SHARE;
    this.#pool(packets, lost);
  }

  reset(): void {
    this.#forget();
    this.share = 0;
    this.doubtful = false;
    this.dispersion = 1;
  }

  #forget(): void {
    this.provisional = false;
    this.#doubts = 0;
    this.#pooled = 0;
    this.experiments = 0;
    this.#next = 0;
    this.#sent.fill(0);
    this.#lost.fill(0);
  }

  #pool(sent: number, lost: number): void {
    this.#sent[this.#next] = sent;
    this.#lost[this.#next] = lost;
    this.#next = (this.#next + 1) % POOL;
    this.experiments = Math.min(this.experiments + 1, POOL);
    let allSent = 0;
    let allLost = 0;
    for (let i = 0; i < POOL; i++) {
      allSent += this.#sent[i];
      allLost += this.#lost[i];
    }
    this.#pooled = allSent;
    this.share = Math.min(allLost / allSent, MOST_LOSS);
  }
}
