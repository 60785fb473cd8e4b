/** Lets one loop wait until something has changed that it looks at again. */
export class Wakeup {
  #wake: (() => void) | null = null;

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  wake(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}
