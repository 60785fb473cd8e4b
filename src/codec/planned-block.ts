/**
 * A plan of inactivation decoding with what it takes to carry it out: the dense system, and the symbols once that has full rank.
 * Not the plan's making (`inactivation.ts`), nor what was received (`block-decoder.ts`).
 *
 * Symbols are computed in two passes over the same plan. With all inactive symbols taken as zero, the equations left over say by
 * how much that was wrong, which gives the inactive symbols; with those in place the second pass gives the rest. So each pass
 * costs what the batches' degrees cost and nothing grows with the number of inactive symbols times that of source symbols.
 */
import { type Arena, type Kernel, type Pointer, Region } from "../gf/index.ts";
import { type EquationGroup, InactivationPlan, type Step } from "./inactivation.ts";
import { InactiveSolver, MAX_EQUATIONS } from "./inactive-solver.ts";
import { hdpcConstraints, type PrecodeSizes } from "./precode.ts";

/**
 * With more inactive symbols than this, and than an eighth of K, decoding waits for more symbols: time grows with the cube, and only
 * batches of hardly any rank, or made up by somebody, come near.
 */
const LEAST_MAXIMUM_INACTIVE = 2048;

/** An equation for the inactive symbols, from a symbol that came after the plan. */
export interface LateEquation {
  readonly columns: Uint32Array;
  readonly coefficients: Uint8Array;
  readonly payload: Pointer;
}

export class PlannedBlock {
  readonly #arena: Arena;
  readonly #region: Region;
  readonly #kernel: Kernel;
  readonly #sizes: PrecodeSizes;
  readonly #symbolSize: number;
  readonly #direct: ReadonlyMap<number, Pointer>;
  readonly #plan: InactivationPlan;
  readonly #solver: InactiveSolver;
  /** For each step, which of its residual rows the solver took. */
  readonly #taken: number[][] = [];
  /** The HDPC constraints that the solver took. */
  readonly #hdpcTaken: number[] = [];
  readonly #late: LateEquation[] = [];
  /** How many columns there are, how each depends on the inactive ones: a vector of `inactive` bytes each, in the arena. */
  readonly #dependence: Pointer;
  readonly #dependenceStride: number;
  /** Columns that were received share the zero vector, the last. */
  readonly #zeroDependence: Pointer;
  readonly #hdpc: Pointer;
  /** Lists of pointers: what a product reads and what it writes. */
  readonly #sources: Pointer;
  readonly #targets: Pointer;
  #symbols: Pointer = 0;
  #symbolStride = 0;

  /**
   * Plans; undefined when more symbols would be inactive than is affordable. Throws an ArenaFullError, with all memory given
   * back, when the arena cannot grow that far.
   */
  static make(
    arena: Arena,
    sizes: PrecodeSizes,
    groups: readonly EquationGroup[],
    direct: ReadonlyMap<number, Pointer>,
    symbolSize: number,
  ): PlannedBlock | undefined {
    const region = new Region(arena);
    try {
      const plan = new InactivationPlan(region, sizes.intermediate, groups, direct.keys());
      if (plan.inactive.length <= Math.max(LEAST_MAXIMUM_INACTIVE, sizes.source / 8)) {
        return new PlannedBlock(region, sizes, plan, direct, symbolSize);
      }
    } catch (error) {
      region.release();
      throw error;
    }
    region.release();
    return undefined;
  }

  private constructor(
    region: Region,
    sizes: PrecodeSizes,
    plan: InactivationPlan,
    direct: ReadonlyMap<number, Pointer>,
    symbolSize: number,
  ) {
    const { arena } = region;
    const { intermediate, hdpc } = sizes;
    const { inactive, steps } = plan;
    this.#arena = arena;
    this.#region = region;
    this.#kernel = arena.kernel;
    this.#sizes = sizes;
    this.#symbolSize = symbolSize;
    this.#direct = direct;
    this.#plan = plan;
    this.#solver = new InactiveSolver(region, inactive.length);
    this.#dependenceStride = Math.ceil(Math.max(1, inactive.length) / 16) * 16;
    this.#dependence = region.allocateZeroed((intermediate + 1) * this.#dependenceStride);
    this.#zeroDependence = this.#dependence + intermediate * this.#dependenceStride;
    const listLength = steps.reduce(
      (most, step) => Math.max(most, step.others.length, step.received.length + step.payloads.length),
      intermediate + hdpc,
    );
    this.#sources = region.allocate(4 * listLength);
    this.#targets = region.allocate(4 * listLength);
    this.#hdpc = region.allocate(hdpc * intermediate);
    arena.bytes.set(hdpcConstraints(sizes), this.#hdpc);
    inactive.forEach((column, i) => {
      arena.bytes[this.#dependenceOf(column) + i] = 1;
    });
    this.#findDependence();
  }

  get inactive(): number {
    return this.#plan.inactive.length;
  }

  /** Whether the dense system has full rank. */
  get solvable(): boolean {
    return this.#solver.complete;
  }

  /** Takes one more equation; returns whether it was innovative. */
  addLate(equation: LateEquation): boolean {
    const { columns, coefficients } = equation;
    return Region.use(this.#arena, (scratch) => {
      const row = scratch.allocate(this.#dependenceStride + columns.length);
      const at = row + this.#dependenceStride;
      const { bytes, words } = this.#arena;
      bytes.set(coefficients, at);
      for (let j = 0; j < columns.length; j++) words[(this.#sources >>> 2) + j] = this.#dependenceOf(columns[j]);
      this.#kernel.combine(row, this.#sources, at, columns.length, this.inactive);
      const innovative = this.#solver.add(row, 0, 1).length > 0;
      if (innovative) this.#late.push(equation);
      return innovative;
    });
  }

  /** Where column `column` lies after `solve`. */
  symbolAt(column: number): Pointer {
    return this.#direct.get(column) ?? this.#symbols + column * this.#symbolStride;
  }

  /** Computes all symbols, once. Needs `solvable`. Throws an ArenaFullError, after which only `destroy` may be called. */
  solve(): void {
    this.#symbolStride = Math.ceil(this.#symbolSize / 16) * 16;
    // One more symbol, of zeros.
    this.#symbols = this.#region.allocateZeroed((this.#sizes.intermediate + 1) * this.#symbolStride);
    const { steps } = this.#plan;
    Region.use(this.#arena, (scratch) => {
      const parts = this.#receivedParts(steps, scratch);
      if (this.inactive > 0) this.#solveInactive(parts, scratch);
      steps.forEach((step, s) => {
        this.#computePivots(step, parts[s]);
      });
    });
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#region.release();
  }

  #dependenceOf(column: number): Pointer {
    return this.#direct.has(column) ? this.#zeroDependence : this.#dependence + column * this.#dependenceStride;
  }

  /** Carries the plan out on dependence vectors, and offers every equation left over to the solver, many at a time. */
  #findDependence(): void {
    const { steps } = this.#plan;
    const { hdpc, intermediate } = this.#sizes;
    const stride = this.#dependenceStride;
    Region.use(this.#arena, (scratch) => {
      const equations = scratch.allocate(MAX_EQUATIONS * stride);
      const { words } = this.#arena;
      // Which residual row of which step each waiting equation is.
      let waiting: { step: number; row: number }[] = [];
      const flush = () => {
        for (const e of this.#solver.add(equations, stride, waiting.length)) {
          this.#taken[waiting[e].step].push(waiting[e].row);
        }
        waiting = [];
      };
      steps.forEach(({ pivots, others, matrix, residuals }, s) => {
        this.#taken.push([]);
        if (waiting.length + residuals > MAX_EQUATIONS) flush();
        for (let j = 0; j < others.length; j++) words[(this.#sources >>> 2) + j] = this.#dependenceOf(others[j]);
        let target = this.#targets >>> 2;
        for (let j = 0; j < pivots.length; j++) words[target++] = this.#dependenceOf(pivots[j]);
        for (let row = 0; row < residuals; row++) {
          words[target++] = equations + waiting.length * stride;
          waiting.push({ step: s, row });
        }
        const rows = pivots.length + residuals;
        this.#kernel.multiply(this.#targets, this.#sources, matrix, rows, others.length, this.inactive);
      });
      flush();
      for (let c = 0; c < intermediate; c++) words[(this.#sources >>> 2) + c] = this.#dependenceOf(c);
      for (let h = 0; h < hdpc; h++) words[(this.#targets >>> 2) + h] = equations + h * stride;
      this.#kernel.multiply(this.#targets, this.#sources, this.#hdpc, hdpc, intermediate, this.inactive);
      this.#hdpcTaken.push(...this.#solver.add(equations, stride, hdpc));
    });
  }

  /**
   * Computes what each step's rows get of the columns and payloads that were received, which is the same in both passes:
   * one symbol a row, from the pointers returned, pivot rows first, then the residual rows that were taken.
   */
  #receivedParts(steps: readonly Step[], region: Region): Pointer[] {
    const stride = this.#symbolStride;
    return steps.map(({ pivots, received, payloads, receivedMatrix }, s) => {
      const taken = this.#taken[s];
      const rows = pivots.length + taken.length;
      const parts = region.allocate(rows * stride);
      const { bytes, words } = this.#arena;
      const width = received.length + payloads.length;
      this.#bringForward(receivedMatrix, width, pivots.length, taken);
      let source = this.#sources >>> 2;
      for (let j = 0; j < received.length; j++) words[source++] = this.symbolAt(received[j]);
      for (let j = 0; j < payloads.length; j++)
        words[source++] = payloads[j] || this.symbolAt(this.#sizes.intermediate);
      for (let r = 0; r < rows; r++) words[(this.#targets >>> 2) + r] = parts + r * stride;
      bytes.fill(0, parts, parts + rows * stride);
      this.#kernel.multiply(this.#targets, this.#sources, receivedMatrix, rows, width, this.#symbolSize);
      return parts;
    });
  }

  /** Adds to the symbols at `targets` what a step's first `rows` rows get of the columns that are computed or inactive. */
  #addOthers({ others, matrix }: Step, rows: number): void {
    const { words } = this.#arena;
    for (let j = 0; j < others.length; j++) words[(this.#sources >>> 2) + j] = this.symbolAt(others[j]);
    this.#kernel.multiplyAdd(this.#targets, this.#sources, matrix, rows, others.length, this.#symbolSize);
  }

  /** Computes a step's columns. */
  #computePivots(step: Step, parts: Pointer): void {
    const { pivots } = step;
    const stride = this.#symbolStride;
    const { bytes, words } = this.#arena;
    for (let j = 0; j < pivots.length; j++) {
      const target = this.symbolAt(pivots[j]);
      bytes.copyWithin(target, parts + j * stride, parts + (j + 1) * stride);
      words[(this.#targets >>> 2) + j] = target;
    }
    this.#addOthers(step, pivots.length);
  }

  /** First pass: the inactive symbols, which are zero so far, from what the equations left over come out as. */
  #solveInactive(parts: readonly Pointer[], scratch: Region): void {
    const { inactive, steps } = this.#plan;
    const stride = this.#symbolStride;
    const size = inactive.length;
    const rightSides = scratch.allocate(size * stride);
    const { bytes, words } = this.#arena;
    let next = rightSides;
    steps.forEach((step, s) => {
      const taken = this.#taken[s];
      const rows = step.pivots.length;
      this.#bringForward(step.matrix, step.others.length, rows, taken);
      // Pivot rows and residual rows in one product.
      for (let r = 0; r < rows + taken.length; r++) {
        const target = r < rows ? this.symbolAt(step.pivots[r]) : next + (r - rows) * stride;
        bytes.copyWithin(target, parts[s] + r * stride, parts[s] + (r + 1) * stride);
        words[(this.#targets >>> 2) + r] = target;
      }
      this.#addOthers(step, rows + taken.length);
      next += taken.length * stride;
    });
    next = this.#hdpcRightSides(next);
    this.#lateRightSides(next, scratch);
    const inverse = scratch.allocate(size * size);
    this.#solver.writeInverse(inverse);
    for (let e = 0; e < size; e++) this.#arena.words[(this.#sources >>> 2) + e] = rightSides + e * stride;
    for (let i = 0; i < size; i++) this.#arena.words[(this.#targets >>> 2) + i] = this.symbolAt(inactive[i]);
    this.#kernel.multiply(this.#targets, this.#sources, inverse, size, size, this.#symbolSize);
  }

  /** Moves the residual rows that were taken, in ascending order, to the front of a matrix's residual rows. */
  #bringForward(matrix: Pointer, width: number, pivots: number, taken: readonly number[]): void {
    const { bytes } = this.#arena;
    taken.forEach((row, i) => {
      const from = matrix + (pivots + row) * width;
      bytes.copyWithin(matrix + (pivots + i) * width, from, from + width);
    });
  }

  #hdpcRightSides(next: Pointer): Pointer {
    const { intermediate } = this.#sizes;
    const taken = this.#hdpcTaken;
    const { bytes, words } = this.#arena;
    for (let c = 0; c < intermediate; c++) words[(this.#sources >>> 2) + c] = this.symbolAt(c);
    taken.forEach((h, i) => {
      const from = this.#hdpc + h * intermediate;
      bytes.copyWithin(this.#hdpc + i * intermediate, from, from + intermediate);
      words[(this.#targets >>> 2) + i] = next + i * this.#symbolStride;
    });
    this.#kernel.multiply(this.#targets, this.#sources, this.#hdpc, taken.length, intermediate, this.#symbolSize);
    return next + taken.length * this.#symbolStride;
  }

  #lateRightSides(next: Pointer, scratch: Region): void {
    let to = next;
    for (const { columns, coefficients, payload } of this.#late) {
      const count = columns.length;
      const at = scratch.allocate(count);
      const { bytes, words } = this.#arena;
      bytes.set(coefficients, at);
      for (let j = 0; j < count; j++) words[(this.#sources >>> 2) + j] = this.symbolAt(columns[j]);
      this.#kernel.combine(to, this.#sources, at, count, this.#symbolSize);
      this.#kernel.xor(to, payload, this.#symbolSize);
      to += this.#symbolStride;
    }
  }
}
