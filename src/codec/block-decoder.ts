/**
 * The outer code's decoder for one block: collects coded symbols, and once there are as many innovative ones as source symbols,
 * plans (`inactivation.ts`), checks whether the dense system has full rank, and if so computes the symbols. A symbol that comes
 * after the plan is one more equation for the dense system, so nothing is planned twice.
 *
 * Symbols are computed in two passes over the same plan. With all inactive symbols taken as zero, the equations left over say by
 * how much that was wrong, which gives the inactive symbols; with those in place the second pass gives the rest. So each pass
 * costs what the batches' degrees cost and nothing grows with the number of inactive symbols times that of source symbols.
 */
import { type Arena, ArenaFullError, type Kernel, type Pointer, Region } from "../gf/index.ts";
import { type EquationGroup, InactivationPlan, type Step } from "./inactivation.ts";
import { InactiveSolver, MAX_EQUATIONS } from "./inactive-solver.ts";
import type { ObjectParameters } from "./object-parameters.ts";
import type { OuterBatchGenerator } from "./outer-batch.ts";
import { forEachLdpc, hdpcConstraints, type PrecodeSizes } from "./precode.ts";
import { RankTracker } from "./rank-tracker.ts";
import type { SymbolPool } from "./symbol-pool.ts";
import type { Verdict } from "./verdict.ts";

/**
 * With more inactive symbols than this, and than an eighth of K, decoding waits for more symbols: time grows with the cube, and only
 * batches of hardly any rank, or made up by somebody, come near.
 */
const LEAST_MAXIMUM_INACTIVE = 2048;

interface ReceivedBatch {
  readonly id: number;
  readonly tracker: RankTracker;
  readonly vectors: Uint8Array[];
  readonly payloads: Pointer[];
}

/** An equation for the inactive symbols, from a symbol that came after the plan. */
interface LateEquation {
  readonly columns: Uint32Array;
  readonly coefficients: Uint8Array;
  readonly payload: Pointer;
}

export interface DecodingStatistics {
  /** Innovative symbols received when decoding succeeded. */
  received: number;
  /** Batches of which any symbol was received by then. */
  batches: number;
  /** Inactive symbols. */
  inactive: number;
}

export class BlockDecoder {
  /** K, how many source symbols the block has. */
  readonly symbols: number;
  readonly #arena: Arena;
  readonly #kernel: Kernel;
  readonly #pool: SymbolPool;
  readonly #parameters: ObjectParameters;
  readonly #sizes: PrecodeSizes;
  readonly #generator: OuterBatchGenerator;
  readonly #batches: Map<number, ReceivedBatch> = new Map();
  #received = 0;
  /** Decoding is tried once as much has been received. */
  #nextAttempt: number;
  /** Source symbols that came as they are: payload by column. */
  readonly #direct: Map<number, Pointer> = new Map();
  #planned: PlannedBlock | undefined;
  #done: { symbolAt: (column: number) => Pointer; release: () => void } | undefined;
  #statistics: DecodingStatistics | undefined;

  /** `generator` is shared by all blocks of as many symbols. */
  constructor(pool: SymbolPool, parameters: ObjectParameters, generator: OuterBatchGenerator) {
    this.symbols = generator.sizes.source;
    this.#pool = pool;
    this.#arena = pool.arena;
    this.#kernel = pool.arena.kernel;
    this.#parameters = parameters;
    this.#sizes = generator.sizes;
    this.#generator = generator;
    this.#nextAttempt = this.symbols;
  }

  /** Innovative symbols received so far. */
  get received(): number {
    return this.#received;
  }

  get complete(): boolean {
    return this.#done !== undefined;
  }

  /** What decoding took; undefined until complete. */
  get statistics(): DecodingStatistics | undefined {
    return this.#statistics;
  }

  /** Takes a symbol of batch `id`: its vector of M bytes, not all zero, and its payload of T bytes. */
  add(id: number, vector: Uint8Array, payload: Uint8Array): Verdict {
    if (this.#done !== undefined) return "redundant";
    if (!this.#generator.exists(id, vector)) return "invalid";
    const verdict = this.#take(id, vector, payload);
    if (this.#received >= this.#nextAttempt) this.#decode();
    return verdict;
  }

  /** Copies source symbol `index` to `out`, at most `out.length` bytes. Needs `complete`. */
  copySymbol(index: number, out: Uint8Array): void {
    const pointer = this.#done!.symbolAt(index);
    out.set(this.#arena.view(pointer, out.length));
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#done?.release();
    this.#planned?.destroy();
    this.#releasePayloads();
  }

  #releasePayloads(): void {
    for (const { payloads } of this.#batches.values()) for (const slot of payloads) this.#pool.release(slot);
    if (this.complete) for (const slot of this.#direct.values()) this.#pool.release(slot);
    this.#batches.clear();
  }

  #take(id: number, vector: Uint8Array, payload: Uint8Array): Verdict {
    // Kept only once a symbol of it is: a batch with nothing in it costs nothing.
    const batch = this.#batches.get(id) ?? {
      id,
      tracker: new RankTracker(this.#parameters.batchSize),
      vectors: [],
      payloads: [],
    };
    if (!batch.tracker.test(vector)) return "redundant";
    const slot = this.#pool.acquireCopy(payload, 0);
    if (slot === 0) return "no-memory";
    if (this.#planned !== undefined) {
      let verdict: Verdict = "no-memory";
      try {
        verdict = this.#addLate(this.#planned, id, vector, slot) ? "innovative" : "redundant";
      } catch (error) {
        if (!(error instanceof ArenaFullError)) throw error;
      }
      if (verdict !== "innovative") {
        this.#pool.release(slot);
        return verdict;
      }
    }
    batch.tracker.add();
    batch.vectors.push(vector.slice());
    batch.payloads.push(slot);
    this.#batches.set(id, batch);
    this.#received++;
    return "innovative";
  }

  /**
   * Plans if there is no plan, and solves if the plan allows it. Where the arena is too full for that, or the dense system would
   * be too large, the plan is dropped and made anew when more has been received: what was received is never lost.
   */
  #decode(): void {
    try {
      this.#planned ??= this.#plan();
      if (this.#planned?.solvable) this.#solve(this.#planned);
      else if (this.#planned === undefined && !this.complete) this.#postpone();
    } catch (error) {
      if (!(error instanceof ArenaFullError)) throw error;
      this.#postpone();
    }
  }

  /** A plan; undefined when none is needed because all source symbols were received, or none is affordable. */
  #plan(): PlannedBlock | undefined {
    return Region.use(this.#arena, (region) => {
      const groups = this.#makeGroups(region);
      if (this.#direct.size === this.symbols) {
        this.#finish(
          (column) => this.#direct.get(column)!,
          0,
          () => {},
        );
        return undefined;
      }
      return PlannedBlock.make(this.#arena, this.#sizes, groups, this.#direct, this.#parameters.symbolSize);
    });
  }

  #postpone(): void {
    this.#planned?.destroy();
    this.#planned = undefined;
    this.#direct.clear();
    this.#nextAttempt = this.#received + Math.ceil(this.symbols / 64);
  }
  #finish(symbolAt: (column: number) => Pointer, inactive: number, release: () => void): void {
    this.#statistics = { received: this.#received, batches: this.#batches.size, inactive };
    this.#done = { symbolAt, release };
    // Of what was received only source symbols are still looked at.
    const kept = new Set(this.#direct.values());
    for (const { payloads } of this.#batches.values()) {
      for (const slot of payloads) if (!kept.has(slot)) this.#pool.release(slot);
    }
    this.#batches.clear();
  }

  #solve(planned: PlannedBlock): void {
    planned.solve();
    this.#finish(
      (column) => planned.symbolAt(column),
      planned.inactive,
      () => planned.destroy(),
    );
    this.#planned = undefined;
  }

  /** Offers a symbol that comes after the plan to its dense system; returns whether it was innovative. */
  #addLate(planned: PlannedBlock, id: number, vector: Uint8Array, payload: Pointer): boolean {
    return Region.use(this.#arena, (region) => {
      const generatorMatrix = this.#generate(id, region);
      const { degree, columns } = this.#generator;
      const coefficients = region.allocate(degree);
      this.#writeRow(coefficients, vector, generatorMatrix);
      return planned.addLate({
        columns: columns.slice(0, degree),
        coefficients: this.#arena.view(coefficients, degree).slice(),
        payload,
      });
    });
  }

  /** Generates batch `id`; returns its generator matrix. */
  #generate(id: number, region: Region): Pointer {
    const generator = this.#generator;
    generator.generate(id);
    const matrix = region.allocate(generator.size * generator.degree);
    generator.writeMatrix(this.#arena, matrix);
    return matrix;
  }

  /** Writes to `row` the coefficients, over the batch's columns, of the symbol with a vector. */
  #writeRow(row: Pointer, vector: Uint8Array, matrix: Pointer): void {
    const { degree, size } = this.#generator;
    const { bytes } = this.#arena;
    bytes.fill(0, row, row + degree);
    for (let j = 0; j < size; j++) {
      if (vector[j] !== 0) this.#kernel.mulAdd(row, matrix + j * degree, vector[j], degree);
    }
  }

  /** The equations that were received, and those of the LDPC symbols. Fills #direct. */
  #makeGroups(region: Region): EquationGroup[] {
    const groups: EquationGroup[] = [];
    this.#direct.clear();
    for (const batch of this.#batches.values()) {
      const generatorMatrix = this.#generate(batch.id, region);
      const generator = this.#generator;
      const columns = generator.columns.slice(0, generator.degree);
      const rows: number[] = [];
      batch.vectors.forEach((vector, i) => {
        const column = generator.isSource ? unitIndex(vector) : -1;
        if (column >= 0 && column < generator.size) this.#direct.set(columns[column], batch.payloads[i]);
        else rows.push(i);
      });
      if (rows.length > 0) {
        const width = columns.length + rows.length;
        const matrix = region.allocateZeroed(rows.length * width);
        rows.forEach((i, r) => {
          this.#writeRow(matrix + r * width, batch.vectors[i], generatorMatrix);
          this.#arena.bytes[matrix + r * width + columns.length + r] = 1;
        });
        groups.push({ columns, payloads: Uint32Array.from(rows, (i) => batch.payloads[i]), matrix });
      }
    }
    this.#addLdpcGroups(groups, region);
    return groups;
  }

  #addLdpcGroups(groups: EquationGroup[], region: Region): void {
    const { source, ldpc } = this.#sizes;
    const members: number[][] = Array.from({ length: ldpc }, (_, row) => [source + row]);
    if (ldpc > 0) for (let i = 0; i < source; i++) forEachLdpc(this.#sizes, i, (row) => members[row].push(i));
    for (const columns of members) {
      const matrix = region.allocate(columns.length + 1);
      this.#arena.bytes.fill(1, matrix, matrix + columns.length + 1);
      groups.push({ columns: Uint32Array.from(columns), payloads: new Uint32Array(1), matrix });
    }
  }
}

/** The index of the only non-zero of a vector when that is a 1, else -1. */
function unitIndex(vector: Uint8Array): number {
  const index = vector.findIndex((element) => element !== 0);
  if (index < 0 || vector[index] !== 1) return -1;
  for (let i = index + 1; i < vector.length; i++) if (vector[i] !== 0) return -1;
  return index;
}

/** A plan with what it takes to carry it out: the dense system, and the symbols once that has full rank. */
class PlannedBlock {
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
