/**
 * What a key of a configuration file may hold. A key is a long option of the command line without its dashes, and takes what
 * that takes: the option's own description, so that the two cannot differ.
 */
import type { Command, Option } from "commander";

/** What a parser of option values may say of itself, beside reading one. */
export interface ValueParser<T> {
  (text: string, before?: T): T;
  /** Whether the option may stand several times; in a file its value is then a list. */
  repeatable?: true;
  /** Whether it reads a number, and from where to where. */
  range?: readonly [least: number, most: number];
}

export interface Setting {
  readonly key: string;
  readonly option: Option;
  readonly kind: "switch" | "text" | "number" | "list";
  /** Whether its value is a file's name: in a configuration file it starts at that file's folder. */
  readonly isFile: boolean;
  readonly range: readonly [least: number, most: number] | null;
}

/** Options about the command line itself. */
const NO_SETTINGS = new Set(["help", "config"]);

/** The keys of a command's section, in the order of its options. */
export function settingsOf(command: Command): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const option of command.options) {
    const key = option.long?.slice(2) ?? "";
    if (key === "" || NO_SETTINGS.has(key)) continue;
    const parser = option.parseArg as ValueParser<unknown> | undefined;
    const range = parser?.range ?? null;
    const value = range === null ? "text" : "number";
    const kind = option.isBoolean() ? "switch" : parser?.repeatable === true ? "list" : value;
    settings.set(key, { key, option, kind, isFile: option.flags.includes("<file>"), range });
  }
  return settings;
}
