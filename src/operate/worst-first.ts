/** Which sessions want attention first: the order of the page's list and of `bats-proxy status`. */
import type { SessionStatus } from "./status.ts";

export const byText: Intl.Collator = new Intl.Collator("en", { numeric: true });

/** Who does not answer; then who loses most, by the percent so that noise does not shuffle them; then who is slowest. */
export function badness({ state, lossRate, rttMs }: SessionStatus): number[] {
  return [state === "open" ? 0 : 1, Math.round(lossRate * 100), rttMs ?? -1];
}

/** By the first of the numbers that differs. */
export function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - b[i];
  return 0;
}

export function worstFirst(sessions: readonly SessionStatus[]): SessionStatus[] {
  return sessions.toSorted(
    (a, b) => compareRanks(badness(b), badness(a)) || byText.compare(a.peer, b.peer) || a.id - b.id,
  );
}
