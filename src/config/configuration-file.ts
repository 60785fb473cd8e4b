/**
 * Configuration files: YAML 1.2 with a section for each role, whose keys are the long options of that role's command. Reading gives
 * the arguments that would say the same on the command line. Every error names file, line and key.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import {
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from "yaml";
import { nearestWord } from "./nearest-word.ts";
import { type Setting, settingsOf } from "./setting.ts";

/** What is wrong with a file; one line for each fault, each whole. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** A role's section. */
export interface Section {
  readonly role: string;
  /** For the command line, in the order of the file. */
  readonly arguments: string[];
  /** Where each key's value stands, as FILE:LINE:COLUMN. */
  readonly places: ReadonlyMap<string, string>;
}

/** The sections of `path`, checked. `roles` are the commands by name; sections that are named in `others` may be there, unread. */
export function readConfiguration(
  path: string,
  roles: ReadonlyMap<string, Command>,
  others: readonly string[] = [],
): Section[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new ConfigurationError(missing ? `${path} does not exist` : `${path}: ${(error as Error).message}`);
  }
  return new Reader(path, roles, others).read(text);
}

class Reader {
  readonly #path: string;
  readonly #roles: ReadonlyMap<string, Command>;
  readonly #others: readonly string[];
  readonly #lines = new LineCounter();
  readonly #faults: string[] = [];

  constructor(path: string, roles: ReadonlyMap<string, Command>, others: readonly string[]) {
    this.#others = others;
    this.#path = path;
    this.#roles = roles;
  }

  read(text: string): Section[] {
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    for (const { message, pos } of document.errors) this.#fault(pos[0], message);
    if (this.#faults.length > 0) this.#giveUp();
    const names = [...this.#roles.keys()];
    const sections: Section[] = [];
    if (!isMap(document.contents)) {
      this.#fault(0, `there is no section: write "${names.join(':" or "')}:" and its settings below, indented`);
    } else {
      for (const pair of document.contents.items) {
        const role = keyOf(pair);
        const command = this.#roles.get(role);
        if (command === undefined && this.#others.includes(role)) continue;
        if (command === undefined)
          this.#faultAt(pair.key as Node, `${role}: no section has that name${hint(role, names)}`);
        else sections.push({ role, ...this.#readSection(role, pair, settingsOf(command)) });
      }
    }
    if (this.#faults.length > 0) this.#giveUp();
    return sections;
  }

  #readSection(role: string, pair: Pair, settings: ReadonlyMap<string, Setting>): Omit<Section, "role"> {
    const section = pair.value as Node | null;
    const args: string[] = [];
    const places = new Map<string, string>();
    if (section !== null && !isMap(section) && !(isScalar(section) && section.value === null)) {
      this.#faultAt(section, `${role}: its settings stand below it, indented, each as KEY: VALUE`);
      return { arguments: args, places };
    }
    for (const item of isMap(section) ? (section as YAMLMap).items : []) {
      const key = keyOf(item);
      places.set(key, this.#placeOf(((item.value ?? item.key) as Node).range?.[0] ?? 0));
      const setting = settings.get(key);
      if (setting === undefined) {
        this.#faultAt(item.key as Node, `${key}: ${role} has no such setting${hint(key, settings.keys())}`);
      } else {
        args.push(...this.#readSetting(setting, item));
      }
    }
    for (const { key, option } of settings.values()) {
      if (option.mandatory && !places.has(key))
        this.#faultAt(pair.key as Node, `${role}: ${key} is missing: ${option.description}`);
    }
    return { arguments: args, places };
  }

  #readSetting(setting: Setting, { key, value }: Pair): string[] {
    const node = value as Node | null;
    if (isSeq(node)) {
      if (setting.kind === "list") return node.items.flatMap((item) => this.#readValue(setting, item as Node));
      this.#faultAt(node, `${setting.key}: one value, not a list`);
      return [];
    }
    return this.#readValue(setting, node ?? (key as Node));
  }

  #readValue(setting: Setting, node: Node): string[] {
    const { key, option, kind, isFile } = setting;
    if (!isScalar(node) || node.value === null || node.value === key) {
      this.#faultAt(node, `${key}: a value is missing, wanted ${wantedOf(setting)}`);
      return [];
    }
    if (kind === "switch") {
      if (typeof node.value === "boolean") return node.value ? [`--${key}`] : [];
      this.#faultAt(node, `${key}: ${JSON.stringify(node.value)} is neither true nor false`);
      return [];
    }
    const text = textOf(node);
    try {
      option.parseArg?.(text, undefined);
    } catch (error) {
      const { message } = error as Error;
      const quoted = JSON.stringify(text);
      this.#faultAt(node, `${key}: ${message.includes(quoted) ? message : `${quoted}: ${message}`}`);
      return [];
    }
    return [`--${key}=${isFile ? resolve(dirname(this.#path), text) : text}`];
  }

  #faultAt(node: Node, text: string): void {
    this.#fault(node.range?.[0] ?? 0, text);
  }

  #fault(offset: number, text: string): void {
    this.#faults.push(`${this.#placeOf(offset)}: ${text}`);
  }

  #placeOf(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#path}:${Math.max(1, line)}:${Math.max(1, col)}`;
  }

  #giveUp(): never {
    throw new ConfigurationError(this.#faults.join("\n"));
  }
}

function keyOf({ key }: Pair): string {
  return isScalar(key) ? textOf(key) : String(key);
}

/** As it was written: a mode of 0600 is no number. */
function textOf(scalar: Scalar): string {
  return typeof scalar.value === "string" ? scalar.value : (scalar.source ?? String(scalar.value));
}

function wantedOf({ option, kind, range }: Setting): string {
  if (kind === "switch") return "true or false";
  if (range !== null) return `a number from ${range[0]} to ${range[1]}`;
  if (option.argChoices !== undefined) return option.argChoices.join(", ");
  return /<(.*)>/.exec(option.flags)?.[1].toUpperCase() ?? "text";
}

function hint(word: string, words: Iterable<string>): string {
  const nearest = nearestWord(word, words);
  return nearest === null ? "" : `; did you mean ${nearest}?`;
}
