/**
 * Small dense matrices over GF(2^8): rank, inverse, solve. Row by row in a Uint8Array, element (r, c) at r * columns + c.
 * For matrices of up to a few hundred rows; symbols are multiplied by a `Kernel`, not by this.
 */
import { INVERSE, PRODUCT } from "./tables.ts";

function checkShape(name: string, matrix: Uint8Array, rows: number, columns: number): void {
  if (!(Number.isInteger(rows) && rows >= 0 && Number.isInteger(columns) && columns >= 0)) {
    throw new RangeError(`${name} is ${rows} x ${columns}, wanted whole numbers from 0`);
  }
  if (matrix.length !== rows * columns) {
    throw new RangeError(`${name} has ${matrix.length} elements, wanted ${rows} x ${columns} = ${rows * columns}`);
  }
}

/**
 * Brings `matrix` (rows x columns) to reduced row echelon form in place, with pivots in the first `pivotColumns` columns,
 * and returns its rank there: pivot rows come first, in the order of their columns.
 */
export function reduce(matrix: Uint8Array, rows: number, columns: number, pivotColumns: number = columns): number {
  checkShape("matrix", matrix, rows, columns);
  if (!(pivotColumns >= 0 && pivotColumns <= columns)) {
    throw new RangeError(`pivotColumns is ${pivotColumns}, wanted 0 to ${columns}`);
  }
  let rank = 0;
  for (let column = 0; column < pivotColumns && rank < rows; column++) {
    let pivot = rank;
    while (pivot < rows && matrix[pivot * columns + column] === 0) pivot++;
    if (pivot === rows) continue;
    const to = rank * columns;
    if (pivot !== rank) {
      const from = pivot * columns;
      for (let i = column; i < columns; i++) {
        const element = matrix[to + i];
        matrix[to + i] = matrix[from + i];
        matrix[from + i] = element;
      }
    }
    const scaleRow = INVERSE[matrix[to + column]] << 8;
    for (let i = column; i < columns; i++) matrix[to + i] = PRODUCT[scaleRow | matrix[to + i]];
    for (let r = 0; r < rows; r++) {
      const factor = matrix[r * columns + column] << 8;
      if (r === rank || factor === 0) continue;
      for (let i = column; i < columns; i++) matrix[r * columns + i] ^= PRODUCT[factor | matrix[to + i]];
    }
    rank++;
  }
  return rank;
}

/** The rank of a rows x columns matrix, which stays as it is. */
export function rank(matrix: Uint8Array, rows: number, columns: number): number {
  return reduce(matrix.slice(), rows, columns);
}

/** The inverse of a size x size matrix, or null when it is singular. */
export function invert(matrix: Uint8Array, size: number): Uint8Array | null {
  checkShape("matrix", matrix, size, size);
  const identity = new Uint8Array(size * size);
  for (let i = 0; i < size; i++) identity[i * size + i] = 1;
  return solve(matrix, identity, size, size);
}

/**
 * The x with matrix x = right: `matrix` is size x size, `right` and the result size x columns. null when the matrix is
 * singular.
 */
export function solve(matrix: Uint8Array, right: Uint8Array, size: number, columns: number): Uint8Array | null {
  checkShape("matrix", matrix, size, size);
  checkShape("right", right, size, columns);
  const width = size + columns;
  const joined = new Uint8Array(size * width);
  for (let r = 0; r < size; r++) {
    joined.set(matrix.subarray(r * size, (r + 1) * size), r * width);
    joined.set(right.subarray(r * columns, (r + 1) * columns), r * width + size);
  }
  if (reduce(joined, size, width, size) < size) return null;
  const solution = new Uint8Array(size * columns);
  for (let r = 0; r < size; r++) {
    solution.set(joined.subarray(r * width + size, (r + 1) * width), r * columns);
  }
  return solution;
}
