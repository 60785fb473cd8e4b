/**
 * Which session of this process writes a file. Two that write the same one would mix their bytes. A later session of the same
 * peer takes the file over: the earlier one is most likely a connection that died.
 */

export interface Claim {
  /** The file is free again; its descriptor is closed. */
  release(): void;
}

interface Holder {
  readonly owner: string;
  readonly onTaken: () => void;
  readonly released: Promise<void>;
}

export class Claims {
  readonly #holders = new Map<string, Holder>();

  get size(): number {
    return this.#holders.size;
  }

  /** Resolves when the file is this session's; null when another peer, which is still at it, has it. */
  async take(path: Buffer, owner: string, onTaken: () => void): Promise<Claim | null> {
    // File systems may not tell upper from lower case.
    const key = path.toString("latin1").toLowerCase();
    for (let holder = this.#holders.get(key); holder !== undefined; holder = this.#holders.get(key)) {
      if (holder.owner !== owner) return null;
      holder.onTaken();
      await holder.released;
    }
    let resolve = () => {};
    const released = new Promise<void>((done) => {
      resolve = done;
    });
    const holder: Holder = { owner, onTaken, released };
    this.#holders.set(key, holder);
    return {
      release: () => {
        if (this.#holders.get(key) === holder) this.#holders.delete(key);
        resolve();
      },
    };
  }
}
