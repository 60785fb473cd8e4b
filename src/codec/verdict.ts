/** What a decoder or recoder says of a symbol that it was given. */
export type Verdict =
  /** It added to what is known of the batch. */
  | "innovative"
  /** It was a duplicate, or a combination of what is known. */
  | "redundant"
  /** Index, seed, vector or length cannot be right. Nothing changed. */
  | "invalid"
  /** The pool had no slot for it. Nothing changed; the same symbol may be given again. */
  | "no-memory"
  /**
   * It made a decoded symbol's length impossible: some coded symbol of this batch was corrupted, this one or an earlier one.
   * All coded symbols of the batch were forgotten; source symbols known by then stay, wrong ones too.
   */
  | "inconsistent";

/** How many symbols got which verdict. */
export type VerdictCounts = Record<Verdict, number>;

/** All counts at zero. */
export function verdictCounts(): VerdictCounts {
  return { innovative: 0, redundant: 0, invalid: 0, "no-memory": 0, inconsistent: 0 };
}
