/**
 * Who has which addresses: networks of IPv4 and IPv6, of which the longest that an address is in counts. A binary trie, a level a bit:
 * for some thousands of networks, looked up without making anything.
 */

class Node<T> {
  zero: Node<T> | null = null;
  one: Node<T> | null = null;
  value: T | null = null;
}

/** Answers that are kept, by the last bits of the address: packets of few flows come one after another. */
const KEPT = 64;
const WORDS = 4;

export class PrefixTable<T> {
  readonly #ipv4 = new Node<T>();
  readonly #ipv6 = new Node<T>();
  #size = 0;
  /** Addresses by slot, their lengths (0: none is kept), and what they led to. */
  readonly #keptWords = new Int32Array(KEPT * WORDS);
  readonly #keptLengths = new Uint8Array(KEPT);
  readonly #keptFound: (T | null)[] = new Array(KEPT).fill(null);

  get size(): number {
    return this.#size;
  }

  /** `address` has 4 or 16 bytes; what is beyond the prefix does not count. Takes the place of what the same network had. */
  set(address: Uint8Array, prefixLength: number, value: T): void {
    this.#forget();
    let node = this.#root(address.length);
    for (let i = 0; i < prefixLength; i++) {
      if (bit(address, 0, i)) node = node.one ??= new Node();
      else node = node.zero ??= new Node();
    }
    if (node.value === null) this.#size++;
    node.value = value;
  }

  /** What exactly this network has, or null. */
  get(address: Uint8Array, prefixLength: number): T | null {
    let node: Node<T> | null = this.#root(address.length);
    for (let i = 0; i < prefixLength && node !== null; i++) node = bit(address, 0, i) ? node.one : node.zero;
    return node?.value ?? null;
  }

  /** What all networks have that share an address with this one: those that contain it, and those in it. */
  overlapping(address: Uint8Array, prefixLength: number): Set<T> {
    const found = new Set<T>();
    let node: Node<T> | null = this.#root(address.length);
    for (let i = 0; i < prefixLength && node !== null; i++) {
      if (node.value !== null) found.add(node.value);
      node = bit(address, 0, i) ? node.one : node.zero;
    }
    collect(node, found);
    return found;
  }

  delete(address: Uint8Array, prefixLength: number): void {
    this.#forget();
    const path: Node<T>[] = [this.#root(address.length)];
    for (let i = 0; i < prefixLength; i++) {
      const last = path[i];
      const next = bit(address, 0, i) ? last.one : last.zero;
      if (next === null) return;
      path.push(next);
    }
    const node = path[prefixLength];
    if (node.value === null) return;
    node.value = null;
    this.#size--;
    for (let i = prefixLength; i > 0; i--) {
      const { zero, one, value } = path[i];
      if (zero !== null || one !== null || value !== null) return;
      if (bit(address, 0, i - 1)) path[i - 1].one = null;
      else path[i - 1].zero = null;
    }
  }

  /** Of the longest network that the address of `length` bytes, 4 or 16, at `at` is in; null if it is in none. */
  lookup(bytes: Uint8Array, at: number, length: number): T | null {
    const slot = bytes[at + length - 1] % KEPT;
    const words = this.#keptWords;
    const from = slot * WORDS;
    let kept = this.#keptLengths[slot] === length;
    for (let i = 0; kept && i < length; i += 4) kept = words[from + i / 4] === word(bytes, at + i);
    if (kept) return this.#keptFound[slot];
    const found = this.#walk(bytes, at, length);
    for (let i = 0; i < length; i += 4) words[from + i / 4] = word(bytes, at + i);
    this.#keptLengths[slot] = length;
    this.#keptFound[slot] = found;
    return found;
  }

  #forget(): void {
    this.#keptLengths.fill(0);
    this.#keptFound.fill(null);
  }

  #walk(bytes: Uint8Array, at: number, length: number): T | null {
    let node: Node<T> | null = this.#root(length);
    let found: T | null = null;
    for (let i = 0; node !== null; i++) {
      if (node.value !== null) found = node.value;
      if (i === 8 * length) break;
      node = bit(bytes, at, i) ? node.one : node.zero;
    }
    return found;
  }

  #root(length: number): Node<T> {
    return length === 4 ? this.#ipv4 : this.#ipv6;
  }
}

function collect<T>(node: Node<T> | null, found: Set<T>): void {
  if (node === null) return;
  if (node.value !== null) found.add(node.value);
  collect(node.zero, found);
  collect(node.one, found);
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

function bit(bytes: Uint8Array, at: number, index: number): boolean {
  return ((bytes[at + (index >>> 3)] >>> (7 - (index & 7))) & 1) === 1;
}
