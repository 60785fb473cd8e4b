/**
 * GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D) and the generator a = 2: tables and scalar arithmetic.
 * The reference that every faster path is tested against; not fast itself.
 * Field and generator are those of RFC 6330, section 5.7. Addition and subtraction are XOR.
 */

/** The field's polynomial, with the bit of x^8. */
export const POLYNOMIAL = 0x11d;

/** EXP[i] = a^i for i from 0 to 509, so that EXP[LOG[x] + LOG[y]] needs no modulo. */
export const EXP: Uint8Array = new Uint8Array(510);

/** LOG[x] is the i with a^i = x, for x from 1 to 255; LOG[0] is 0 and means nothing. */
export const LOG: Uint8Array = new Uint8Array(256);

/** INVERSE[x] times x is 1, for x from 1 to 255; INVERSE[0] is 0 and means nothing. */
export const INVERSE: Uint8Array = new Uint8Array(256);

/** PRODUCT[256 * x + y] = x y: 64 KiB, for scalar loops. */
export const PRODUCT: Uint8Array = new Uint8Array(65536);

for (let i = 0, x = 1; i < 255; i++) {
  EXP[i] = x;
  EXP[i + 255] = x;
  LOG[x] = i;
  x <<= 1;
  if (x > 255) x ^= POLYNOMIAL;
}
for (let x = 1; x < 256; x++) {
  INVERSE[x] = EXP[255 - LOG[x]];
  for (let y = 1; y < 256; y++) PRODUCT[256 * x + y] = EXP[LOG[x] + LOG[y]];
}

/** The product of two field elements (integers from 0 to 255). */
export function multiply(x: number, y: number): number {
  return PRODUCT[256 * x + y];
}

/** The inverse of a field element from 1 to 255. Throws a RangeError for 0. */
export function inverse(x: number): number {
  if (x === 0) throw new RangeError("0 has no inverse in GF(2^8)");
  return INVERSE[x];
}

/** x divided by y. Throws a RangeError when y is 0. */
export function divide(x: number, y: number): number {
  return PRODUCT[256 * x + inverse(y)];
}

/** x to the power of a non-negative integer; x^0 is 1, for x = 0 too. */
export function power(x: number, exponent: number): number {
  if (!Number.isSafeInteger(exponent) || exponent < 0) {
    throw new RangeError(`exponent is ${exponent}, wanted a whole number from 0`);
  }
  if (exponent === 0) return 1;
  return x === 0 ? 0 : EXP[(LOG[x] * (exponent % 255)) % 255];
}
