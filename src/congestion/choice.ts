/** Congestion control by the name that users give it. */
import { Bbr } from "./bbr.ts";
import type { CongestionController } from "./controller.ts";
import { Cubic } from "./cubic.ts";
import { FixedRate } from "./fixed.ts";

/** "bbr", which tells loss by congestion from other loss, "cubic", or a fixed rate in bits a second, for links of one's own. */
export type CongestionChoice = "bbr" | "cubic" | { fixedRateBps: number };

/** What a choice may be, for errors. */
export const CONGESTION_CHOICES = '"bbr", "cubic" or { fixedRateBps: a number above 0 }';

/** Makes controllers of this choice, which draw from `random` (`CongestionOptions`); null for what is no choice. */
export function congestionFactory(choice: CongestionChoice, random: () => number): (() => CongestionController) | null {
  if (choice === "bbr") return () => new Bbr({ random });
  if (choice === "cubic") return () => new Cubic();
  const rate = typeof choice === "object" && choice !== null ? choice.fixedRateBps : Number.NaN;
  if (!(rate > 0 && rate < Number.POSITIVE_INFINITY)) return null;
  return () => new FixedRate(rate / 8000);
}
