/** All figures of the simulator benchmark, by number. */
import { figure1, figure2, figure3, figure6 } from "./bulk-figures.ts";
import { figure9 } from "./cpu-figure.ts";
import { figure7 } from "./fairness-figures.ts";
import type { Figure } from "./figure.ts";
import { figure4, figure5 } from "./latency-figures.ts";
import { figure8, figure10 } from "./safety-figures.ts";

export const figures: readonly Figure[] = [
  figure1,
  figure2,
  figure3,
  figure4,
  figure5,
  figure6,
  figure7,
  figure8,
  figure9,
  figure10,
];
