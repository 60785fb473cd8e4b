/**
 * Slots for symbols that all sessions of an arena share: what one does not need any more another can use, so that memory is bounded
 * by what all hold at a time and not by what each held at its busiest. There while any session is.
 */
import { SymbolPool } from "../../codec/index.ts";
import type { Arena } from "../../gf/index.ts";

/** The longest source symbol, bytes. */
export const SYMBOL_BYTES = 1472;

/** Weak: an arena that is dropped with all its sessions, as after a simulation, is garbage whether they were destroyed or not. */
const pools: WeakMap<Arena, { pool: SymbolPool; users: number }> = new WeakMap();

/** A session's own account of its arena's slots. Give it back with `releasePool`. */
export function borrowPool(arena: Arena): SymbolPool {
  let shared = pools.get(arena);
  if (shared === undefined) {
    shared = { pool: new SymbolPool({ symbolSize: SYMBOL_BYTES, arena }), users: 0 };
    pools.set(arena, shared);
  }
  shared.users++;
  return new SymbolPool({ symbolSize: SYMBOL_BYTES, arena, parent: shared.pool });
}

/** All slots of the account must have been given back. */
export function releasePool(account: SymbolPool): void {
  account.destroy();
  const shared = pools.get(account.arena)!;
  if (--shared.users > 0) return;
  shared.pool.destroy();
  pools.delete(account.arena);
}
