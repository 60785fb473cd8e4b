// Made by scripts/degree-design/make-tables.ts (npx tsx scripts/degree-design/make-tables.ts); not edited by hand.
/**
 * Degree distributions of the outer code, from the linear programme (P1) of S. Yang and R. W. Yeung, "Batched Sparse
 * Codes", IEEE Trans. Inform. Theory 60(9), 2014. How they were chosen: `docs/degree-distributions.md`.
 */

/**
 * A distribution of the number of intermediate symbols in a batch. Degrees above L, the number there is, mean L.
 * Batch i is best given the degree at i * 40503 mod 65536 (see `degreeOf`): that takes a fourth off the inactivations
 * that independent draws cost, and most of their spread.
 */
export interface DegreeTable {
  /** Names the table on the wire; never reused. */
  readonly id: number;
  /** M: coded symbols a batch. */
  readonly batchSize: number;
  /**
   * What it is for: "mixed" for any channel, the one to use where nothing is known; "lossy" where the mean rank of a
   * batch is at most 0.87 M (two hops of 10 %), "poor" where it is at most 0.81 M (three of 13 %). On a worse channel
   * than that a table only costs more inactivations; on a better one it costs surplus symbols.
   */
  readonly channel: string;
  /** Ascending. */
  readonly degrees: readonly number[];
  /** cumulative[i] / 65536 is the probability of a degree up to degrees[i]. The last is 65536. */
  readonly cumulative: readonly number[];
}

/** The degree at a point from 0 to 65535 of a table's cumulative distribution. */
export function degreeAt(table: DegreeTable, point: number): number {
  let i = 0;
  while (table.cumulative[i] <= point) i++;
  return table.degrees[i];
}

/** The degree of batch `id`: low-discrepancy points, so that any run of ids has nearly the degrees promised. */
export function degreeOf(table: DegreeTable, id: number): number {
  return degreeAt(table, Math.imul(40503, id) & 0xffff);
}

/**
 * The degree of coded batch `index`, from 0, of an object whose source symbols were sent first: of `intermediate`
 * symbols, `parity` = S + H of them never sent. No table, for the best degree follows how much is missing, and
 * whoever still needs batch `index` misses about M times index symbols: each batch then reaches about 5/4 M unknown
 * ones. Every fourth batch starts again at half the first degree, for receivers that lost the first ones.
 */
export function systematicDegree(index: number, batchSize: number, parity: number, intermediate: number): number {
  const falling = Math.ceil((5 * intermediate * batchSize) / (4 * (batchSize * index + parity)));
  const again = Math.ceil((5 * intermediate * batchSize) / (8 * (batchSize * (index % 4) + parity)));
  return Math.min(intermediate, Math.max(batchSize, falling, again));
}

export const DEGREE_TABLES: readonly DegreeTable[] = [
  // 1 hop, 0 % loss each: mean rank 8.000.
  // eta 0.97, no slack, theta 8.203, rate eta theta 7.957, mean degree 29.8.
  {
    id: 1,
    batchSize: 8,
    channel: "mixed",
    degrees: [9, 10, 11, 12, 13, 15, 16, 19, 20, 26, 27, 37, 38, 56, 90, 93, 168, 173],
    cumulative: [
      7497, 13462, 18445, 22014, 27079, 31864, 35280, 37913, 42983, 47144, 49761, 53498, 55301, 59602, 61732, 62839,
      63019, 65536,
    ],
  },
  // 1 hop, 0 % loss each: mean rank 16.000.
  // eta 0.97, no slack, theta 16.441, rate eta theta 15.948, mean degree 58.7.
  {
    id: 2,
    batchSize: 16,
    channel: "mixed",
    degrees: [
      17, 18, 19, 20, 21, 22, 24, 25, 27, 28, 32, 33, 39, 40, 49, 62, 64, 80, 82, 108, 111, 149, 153, 218, 225, 362,
      373,
    ],
    cumulative: [
      3977, 7502, 10635, 13580, 15706, 19247, 23130, 25113, 25802, 30983, 32286, 36955, 39198, 42589, 47616, 51778,
      52029, 54124, 55789, 58339, 58906, 59949, 61462, 62003, 63548, 64065, 65536,
    ],
  },
  // 1 hop, 0 % loss each: mean rank 32.000.
  // eta 0.97, no slack, theta 32.931, rate eta theta 31.943, mean degree 116.4.
  {
    id: 3,
    batchSize: 32,
    channel: "mixed",
    degrees: [
      33, 34, 35, 36, 37, 38, 39, 41, 43, 45, 46, 50, 54, 56, 62, 64, 70, 72, 80, 82, 93, 96, 111, 114, 133, 158, 163,
      194, 200, 239, 246, 303, 312, 396, 533, 782, 805,
    ],
    cumulative: [
      2052, 3975, 5794, 7474, 9235, 10345, 12716, 15499, 17969, 18680, 21819, 25886, 27112, 30485, 33564, 34857, 36439,
      39007, 39290, 42797, 43876, 46431, 48632, 49703, 52576, 54159, 55210, 56980, 57495, 58621, 59498, 60682, 61235,
      62729, 64062, 65297, 65536,
    ],
  },
  // 1 hop, 0 % loss each: mean rank 64.000.
  // eta 0.97, no slack, theta 65.832, rate eta theta 63.857, mean degree 231.9.
  {
    id: 4,
    batchSize: 64,
    channel: "mixed",
    degrees: [
      65, 66, 67, 68, 69, 70, 72, 73, 76, 77, 80, 84, 87, 90, 93, 96, 99, 105, 108, 114, 117, 125, 129, 137, 145, 149,
      158, 163, 173, 178, 194, 212, 218, 239, 246, 261, 269, 294, 303, 341, 351, 384, 396, 446, 502, 517, 599, 695, 716,
      829, 854, 990, 1020, 1254, 1292, 1686,
    ],
    cumulative: [
      1042, 2058, 2986, 4122, 4557, 6303, 7280, 8997, 11484, 11774, 14558, 16797, 18440, 19871, 21956, 22353, 25050,
      26761, 28418, 29846, 31573, 33795, 34626, 37101, 37431, 39487, 40224, 41857, 42494, 44146, 46247, 47432, 48463,
      50276, 50422, 50693, 52298, 52555, 54056, 55566, 55638, 56516, 57167, 58486, 58721, 59741, 60825, 61431, 61871,
      62433, 62813, 62931, 63672, 64253, 64506, 65536,
    ],
  },
  // 2 hops, 10 % loss each: mean rank 6.759.
  // eta 0.97, no slack, theta 6.919, rate eta theta 6.711, mean degree 25.5.
  {
    id: 5,
    batchSize: 8,
    channel: "lossy",
    degrees: [8, 9, 12, 13, 19, 28, 29, 44, 45, 72, 74, 145],
    cumulative: [2693, 23040, 24295, 37346, 47306, 50294, 54249, 57311, 59108, 59606, 62638, 65536],
  },
  // 2 hops, 10 % loss each: mean rank 13.748.
  // eta 0.97, no slack, theta 14.116, rate eta theta 13.693, mean degree 50.7.
  {
    id: 6,
    batchSize: 16,
    channel: "lossy",
    degrees: [16, 17, 20, 21, 26, 27, 34, 35, 44, 45, 60, 62, 82, 84, 117, 121, 178, 183, 312],
    cumulative: [
      11606, 15608, 19917, 26732, 33140, 35927, 42726, 43379, 43907, 49384, 53195, 54194, 55370, 57981, 59244, 60976,
      61964, 63350, 65536,
    ],
  },
  // 2 hops, 10 % loss each: mean rank 27.859.
  // eta 0.97, no slack, theta 28.639, rate eta theta 27.780, mean degree 101.6.
  {
    id: 7,
    batchSize: 32,
    channel: "lossy",
    degrees: [
      30, 31, 36, 42, 43, 49, 50, 58, 60, 70, 72, 84, 87, 102, 105, 121, 125, 153, 188, 194, 239, 246, 321, 331, 433,
      446, 675,
    ],
    cumulative: [
      1360, 10419, 18497, 25545, 25807, 28725, 32344, 35335, 38152, 41602, 43018, 46086, 47213, 50302, 50727, 51189,
      53790, 56389, 57441, 58719, 59070, 60713, 62177, 62440, 62586, 63942, 65536,
    ],
  },
  // 2 hops, 10 % loss each: mean rank 56.258.
  // eta 0.97, no slack, theta 57.915, rate eta theta 56.178, mean degree 204.2.
  {
    id: 8,
    batchSize: 64,
    channel: "lossy",
    degrees: [
      60, 66, 67, 73, 74, 82, 90, 93, 102, 105, 117, 121, 129, 133, 149, 153, 168, 173, 194, 200, 218, 225, 253, 261,
      294, 303, 341, 351, 396, 408, 473, 487, 565, 675, 695, 829, 854, 1051, 1083, 1454,
    ],
    cumulative: [
      6944, 10161, 12836, 14607, 18345, 23388, 25240, 28436, 30285, 32967, 36680, 36885, 37402, 40485, 42671, 43739,
      44877, 46676, 48731, 49252, 49881, 51583, 52764, 53703, 55097, 55575, 56786, 57257, 58011, 58792, 60002, 60148,
      61359, 62024, 62474, 62926, 63474, 63867, 64401, 65536,
    ],
  },
  // 3 hops, 13 % loss each: mean rank 6.158.
  // eta 0.97, no slack, theta 6.299, rate eta theta 6.110, mean degree 23.4.
  {
    id: 9,
    batchSize: 8,
    channel: "poor",
    degrees: [8, 9, 12, 13, 18, 19, 27, 28, 40, 41, 66, 129, 133],
    cumulative: [15289, 25856, 29708, 39917, 40150, 48897, 51096, 54476, 57671, 58913, 62564, 62923, 65536],
  },
  // 3 hops, 13 % loss each: mean rank 12.775.
  // eta 0.97, no slack, theta 13.103, rate eta theta 12.710, mean degree 47.2.
  {
    id: 10,
    batchSize: 16,
    channel: "poor",
    degrees: [15, 16, 20, 26, 34, 35, 44, 45, 56, 58, 74, 76, 105, 108, 158, 163, 285],
    cumulative: [
      10709, 17359, 28791, 38033, 43683, 45167, 47275, 50076, 52500, 53920, 55546, 57586, 59002, 60719, 60803, 63226,
      65536,
    ],
  },
  // 3 hops, 13 % loss each: mean rank 26.215.
  // eta 0.97, no slack, theta 26.958, rate eta theta 26.149, mean degree 95.7.
  {
    id: 11,
    batchSize: 32,
    channel: "poor",
    degrees: [
      29, 30, 34, 35, 41, 42, 49, 50, 58, 60, 72, 74, 87, 90, 108, 111, 137, 141, 173, 178, 225, 232, 294, 303, 408,
      420, 617, 636,
    ],
    cumulative: [
      7547, 11384, 13672, 20077, 26293, 27768, 32377, 34519, 35646, 40391, 43613, 45361, 46361, 49561, 50128, 53060,
      55174, 56021, 57455, 58513, 60306, 60599, 61284, 62380, 63003, 63914, 64109, 65536,
    ],
  },
  // 3 hops, 13 % loss each: mean rank 53.383.
  // eta 0.97, no slack, theta 54.693, rate eta theta 53.052, mean degree 192.8.
  {
    id: 12,
    batchSize: 64,
    channel: "poor",
    degrees: [
      57, 58, 63, 64, 71, 79, 80, 87, 90, 99, 102, 114, 117, 129, 133, 149, 153, 168, 173, 188, 194, 212, 232, 239, 269,
      277, 312, 321, 362, 373, 433, 517, 617, 636, 759, 782, 990, 1371,
    ],
    cumulative: [
      5722, 7508, 8843, 13582, 19203, 22128, 24491, 25389, 29510, 30519, 34042, 36602, 38095, 39839, 41778, 44560,
      44886, 46503, 47660, 48240, 49803, 51286, 52204, 53252, 54875, 55160, 56701, 56912, 57853, 58537, 59915, 61190,
      61767, 62363, 62646, 63417, 64350, 65536,
    ],
  },
];
