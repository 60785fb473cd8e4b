/**
 * All that is to be sent, and what became of each: it outlives the sessions that it takes. The tree is walked once, ahead of the
 * sending; the list takes some 300 bytes a file.
 */
import { showPath } from "./paths.ts";
import { Progress } from "./progress.ts";
import { type Found, type Root, walk } from "./tree.ts";
import type { Wakeup } from "./wakeup.ts";

export interface Item extends Found {
  /** It is at the receiver, or never will be. */
  settled: boolean;
  failed: boolean;
  /** Times that it was changed while it was sent. */
  changes: number;
}

export class Outbox {
  readonly items: Item[] = [];
  readonly progress = new Progress();
  /** Things that could not even be looked at, in order; a session tells the receiver of each. */
  readonly omitted: { path: Buffer; text: string }[] = [];
  /** Whether all of the tree is in `items`. */
  complete = false;
  readonly #changed = new Set<Wakeup>();

  constructor(roots: readonly Root[]) {
    void this.#fill(roots);
  }

  /** Wakes `wakeup` when there are more items, until the returned function is called. */
  watch(wakeup: Wakeup): () => void {
    this.#changed.add(wakeup);
    return () => this.#changed.delete(wakeup);
  }

  settle(item: Item, how: "done" | "unchanged" | { failed: string }): void {
    if (item.settled) return;
    item.settled = true;
    const { path, sizeBytes, kind } = item.entry;
    if (typeof how === "object") {
      item.failed = true;
      this.progress.fail(showPath(path), how.failed);
    } else if (kind === "file") this.progress.done(sizeBytes, how === "unchanged");
  }

  omit(path: Buffer, text: string): void {
    this.omitted.push({ path, text });
    this.progress.fail(showPath(path), text);
  }

  async #fill(roots: readonly Root[]): Promise<void> {
    const { progress } = this;
    for await (const found of walk(roots)) {
      if ("text" in found) this.omit(found.path, found.text);
      else {
        this.items.push({ entry: found.entry, source: found.source, settled: false, failed: false, changes: 0 });
        if (found.entry.kind === "file") {
          progress.files++;
          progress.bytes += found.entry.sizeBytes;
        }
      }
      this.#wake();
    }
    this.complete = true;
    progress.counted = true;
    this.#wake();
  }

  #wake(): void {
    for (const wakeup of this.#changed) wakeup.wake();
  }
}
