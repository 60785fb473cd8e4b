/**
 * The plan of inactivation decoding for one block: which equation gives which intermediate symbol, in which order, and which
 * symbols are set aside as inactive to be solved for at the end by a dense system. Works on coefficients only; who carries the plan out
 * on symbols is `block-decoder.ts`. Sources: Yang & Yeung 2014, section on decoding; RFC 6330, section 5.4 (inactivation);
 * Shokrollahi, Lassen, Karp, US 6,856,263 (expired).
 *
 * A batch of rank r is r equations over its columns; an LDPC constraint is one. A group of equations is solved as soon as no more
 * of its columns are unknown than it has equations. When none is, the group that lacks least has as many columns made inactive
 * as it lacks; inactive columns count as known from then on.
 */
import { type Arena, INVERSE, type Pointer, type Region } from "../gf/index.ts";

/** Equations over the same columns: sum of a_c (column c) = sum of t_p (payload p) for each row. */
export interface EquationGroup {
  readonly columns: Uint32Array;
  /** Received payloads on the right, one for each row; 0 stands for a payload of zeros. */
  readonly payloads: Uint32Array;
  /** In the arena: a row for each payload, columns.length coefficients and then payloads.length. */
  readonly matrix: Pointer;
}

/**
 * One step of the plan: (pivots, then residuals) = matrix x others + receivedMatrix x (received, then payloads). Its rows are
 * pivots.length + residuals.
 */
export interface Step {
  /** The columns that this step gives. */
  readonly pivots: Uint32Array;
  /** The other columns that had to be computed or are inactive. */
  readonly others: Uint32Array;
  /** Columns that were received as they are. */
  readonly received: Uint32Array;
  readonly payloads: Uint32Array;
  /** Rows that give no column and must come out as zero: equations for the inactive columns. */
  readonly residuals: number;
  /** In the arena: rows of others.length bytes. */
  readonly matrix: Pointer;
  /** In the arena: rows of received.length + payloads.length bytes. */
  readonly receivedMatrix: Pointer;
}

const UNKNOWN = 0;
const COMPUTED = 1;
const INACTIVE = 2;
const RECEIVED = 3;

export class InactivationPlan {
  readonly steps: Step[] = [];
  /** The inactive columns, in the order in which they became so. */
  readonly inactive: number[] = [];
  readonly #arena: Arena;
  readonly #region: Region;
  readonly #groups: readonly EquationGroup[];
  readonly #state: Uint8Array;
  /** How many columns of a group are unknown; -1 once it is solved. */
  readonly #unknowns: Int32Array;
  /** The groups of column c: #adjacent from #firstAdjacent[c] up to #firstAdjacent[c + 1]. */
  readonly #adjacent: Uint32Array;
  readonly #firstAdjacent: Uint32Array;
  readonly #ready: number[] = [];

  /**
   * Makes the plan. `received` lists columns that are known already. The groups' matrices are worked in and are of no use after.
   * The steps' matrices are the region's, who releases them.
   */
  constructor(region: Region, columns: number, groups: readonly EquationGroup[], received: Iterable<number>) {
    this.#arena = region.arena;
    this.#region = region;
    this.#groups = groups;
    this.#state = new Uint8Array(columns);
    this.#unknowns = Int32Array.from(groups, (group) => group.columns.length);
    this.#firstAdjacent = new Uint32Array(columns + 1);
    for (const group of groups) for (const column of group.columns) this.#firstAdjacent[column + 1]++;
    for (let c = 0; c < columns; c++) this.#firstAdjacent[c + 1] += this.#firstAdjacent[c];
    this.#adjacent = new Uint32Array(this.#firstAdjacent[columns]);
    const next = this.#firstAdjacent.slice();
    groups.forEach((group, g) => {
      for (const column of group.columns) this.#adjacent[next[column]++] = g;
    });
    for (const column of received) this.#settle(column, RECEIVED);
    groups.forEach((_, g) => {
      this.#queueIfReady(g);
    });
    this.#run();
    for (let c = 0; c < columns; c++) if (this.#state[c] === UNKNOWN) this.#inactivate(c);
  }

  #run(): void {
    for (;;) {
      const ready = this.#ready.pop();
      if (ready !== undefined) {
        if (this.#unknowns[ready] >= 0) this.#solve(ready);
        continue;
      }
      const nearest = this.#nearest();
      if (nearest < 0) return;
      this.#inactivateFor(nearest);
    }
  }

  /** The unsolved group that lacks the fewest equations, or -1. */
  #nearest(): number {
    let nearest = -1;
    let least = Number.POSITIVE_INFINITY;
    for (let g = 0; g < this.#groups.length; g++) {
      if (this.#unknowns[g] < 0) continue;
      const lacking = this.#unknowns[g] - this.#groups[g].payloads.length;
      if (lacking < least) {
        least = lacking;
        nearest = g;
      }
    }
    return nearest;
  }

  /** Makes as many unknown columns of a group inactive as it lacks equations: those that most groups wait for. */
  #inactivateFor(g: number): void {
    const { columns, payloads } = this.#groups[g];
    const unknown = columns.filter((column) => this.#state[column] === UNKNOWN);
    const waiting = new Map<number, number>();
    for (const column of unknown) {
      let count = 0;
      for (let i = this.#firstAdjacent[column]; i < this.#firstAdjacent[column + 1]; i++) {
        if (this.#unknowns[this.#adjacent[i]] >= 0) count++;
      }
      waiting.set(column, count);
    }
    unknown.sort((a, b) => waiting.get(b)! - waiting.get(a)! || a - b);
    for (const column of unknown.subarray(0, unknown.length - payloads.length)) this.#inactivate(column);
  }

  #inactivate(column: number): void {
    this.inactive.push(column);
    this.#settle(column, INACTIVE);
  }

  #settle(column: number, state: number): void {
    this.#state[column] = state;
    for (let i = this.#firstAdjacent[column]; i < this.#firstAdjacent[column + 1]; i++) {
      const g = this.#adjacent[i];
      if (this.#unknowns[g] < 0) continue;
      this.#unknowns[g]--;
      this.#queueIfReady(g);
    }
  }

  #queueIfReady(g: number): void {
    if (this.#unknowns[g] <= this.#groups[g].payloads.length) this.#ready.push(g);
  }

  /** Gauss-Jordan elimination of a group's unknown columns; what has no pivot, by bad luck, becomes inactive. */
  #solve(g: number): void {
    const { columns, payloads, matrix } = this.#groups[g];
    const { bytes, kernel } = this.#arena;
    const rows = payloads.length;
    const width = columns.length + rows;
    this.#unknowns[g] = -1;
    const order = Uint32Array.from({ length: rows }, (_, r) => matrix + r * width);
    const isPivot = new Uint8Array(columns.length);
    const pivots: number[] = [];
    const unlucky: number[] = [];
    for (let j = 0; j < columns.length; j++) {
      if (this.#state[columns[j]] !== UNKNOWN) continue;
      const rank = pivots.length;
      let r = rank;
      while (r < rows && bytes[order[r] + j] === 0) r++;
      if (r === rows) {
        unlucky.push(columns[j]);
        continue;
      }
      const row = order[r];
      order[r] = order[rank];
      order[rank] = row;
      kernel.scale(row, INVERSE[bytes[row + j]], width);
      for (let other = 0; other < rows; other++) {
        const factor = bytes[order[other] + j];
        if (other !== rank && factor !== 0) kernel.mulAdd(order[other], row, factor, width);
      }
      isPivot[j] = 1;
      pivots.push(columns[j]);
    }
    this.steps.push(this.#step(this.#groups[g], order, isPivot, pivots));
    for (const column of unlucky) this.#inactivate(column);
    for (const column of pivots) this.#settle(column, COMPUTED);
  }

  /** Packs the solved rows: pivot rows first, without the pivot columns, what was received apart. */
  #step(group: EquationGroup, order: Uint32Array, isPivot: Uint8Array, pivots: number[]): Step {
    const { columns, payloads } = group;
    const others = columns.filter((column, j) => isPivot[j] === 0 && this.#state[column] !== RECEIVED);
    const received = columns.filter((column) => this.#state[column] === RECEIVED);
    const rows = order.length;
    const matrix = this.#region.allocate(rows * others.length);
    const receivedMatrix = this.#region.allocate(rows * (received.length + payloads.length));
    const { bytes } = this.#arena;
    let toOther = matrix;
    let toReceived = receivedMatrix;
    for (const row of order) {
      for (let j = 0; j < columns.length; j++) {
        if (this.#state[columns[j]] === RECEIVED) bytes[toReceived++] = bytes[row + j];
        else if (isPivot[j] === 0) bytes[toOther++] = bytes[row + j];
      }
      bytes.copyWithin(toReceived, row + columns.length, row + columns.length + payloads.length);
      toReceived += payloads.length;
    }
    const residuals = rows - pivots.length;
    return { pivots: Uint32Array.from(pivots), others, received, payloads, residuals, matrix, receivedMatrix };
  }
}
