/**
 * The outer code's decoder for one block: collects coded symbols, and once there are as many innovative ones as source symbols,
 * plans (`inactivation.ts`), checks whether the dense system has full rank, and if so computes the symbols. A symbol that comes
 * after the plan is one more equation for the dense system, so nothing is planned twice.
 */
import { type Arena, ArenaFullError, type Kernel, type Pointer, Region } from "../gf/index.ts";
import type { EquationGroup } from "./inactivation.ts";
import type { ObjectParameters } from "./object-parameters.ts";
import type { OuterBatchGenerator } from "./outer-batch.ts";
import { PlannedBlock } from "./planned-block.ts";
import { forEachLdpc, type PrecodeSizes } from "./precode.ts";
import { RankTracker } from "./rank-tracker.ts";
import type { SymbolPool } from "./symbol-pool.ts";
import type { Verdict } from "./verdict.ts";

interface ReceivedBatch {
  readonly id: number;
  readonly tracker: RankTracker;
  readonly vectors: Uint8Array[];
  readonly payloads: Pointer[];
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
    // The more there is in vain the longer the next wait: each attempt looks at all of it.
    const surplus = this.#received - this.symbols;
    this.#nextAttempt = this.#received + Math.ceil(Math.max(this.symbols / 64, surplus / 4));
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
