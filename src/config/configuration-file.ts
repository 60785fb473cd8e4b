/**
 * Configuration files: YAML 1.2 with a section for each role, whose keys are the long options of that role's command. Reading gives
 * the arguments that would say the same on the command line. Every error names file, line and key.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import {
  Document,
  isAlias,
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
  /** Where it begins, as FILE:LINE:COLUMN. */
  readonly place: string;
  /** For the command line, in the order of the file. */
  readonly arguments: string[];
  /** Where each key's value stands, likewise. */
  readonly places: ReadonlyMap<string, string>;
}

export interface ReadOptions {
  /** Sections that may be there, unread. */
  others?: readonly string[];
  /** Keys whose values stand elsewhere, so that none may be missing here. */
  given?: ReadonlySet<string>;
}

/**
 * The sections of `path`, checked. `roles` are the commands by name. Sections with a name that begins with `x-` are for anchors, and are
 * not read by themselves.
 */
export function readConfiguration(
  path: string,
  roles: ReadonlyMap<string, Command>,
  options: ReadOptions = {},
): Section[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new ConfigurationError(missing ? `${path} does not exist` : `${path}: ${(error as Error).message}`);
  }
  return new Reader(path, roles, options).read(text);
}

class Reader {
  readonly #path: string;
  readonly #roles: ReadonlyMap<string, Command>;
  readonly #others: readonly string[];
  readonly #given: ReadonlySet<string>;
  readonly #lines = new LineCounter();
  readonly #faults: string[] = [];
  /** Of maps that are read: what is merged again and again, at every level, is not read again. */
  readonly #settings = new Map<YAMLMap, ReadonlyMap<string, Pair>>();
  #document = new Document();

  constructor(path: string, roles: ReadonlyMap<string, Command>, options: ReadOptions) {
    this.#others = options.others ?? [];
    this.#given = options.given ?? new Set();
    this.#path = path;
    this.#roles = roles;
  }

  read(text: string): Section[] {
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    this.#document = document;
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
        if (command === undefined && (role.startsWith("x-") || this.#others.includes(role))) continue;
        if (command === undefined)
          this.#faultAt(pair.key as Node, `${role}: no section has that name${hint(role, names)}`);
        else {
          const place = this.#placeOf((pair.key as Node).range?.[0] ?? 0);
          sections.push({ role, place, ...this.#readSection(role, pair, settingsOf(command)) });
        }
      }
    }
    if (this.#faults.length > 0) this.#giveUp();
    return sections;
  }

  #readSection(
    role: string,
    pair: Pair,
    settings: ReadonlyMap<string, Setting>,
  ): Pick<Section, "arguments" | "places"> {
    const section = this.#resolve(pair.value as Node | null);
    const args: string[] = [];
    const places = new Map<string, string>();
    if (section !== null && !isMap(section) && !(isScalar(section) && section.value === null)) {
      this.#faultAt(section, `${role}: its settings stand below it, indented, each as KEY: VALUE`);
      return { arguments: args, places };
    }
    for (const [key, item] of isMap(section) ? this.#settingsIn(section) : []) {
      const value = item.value as Node | null;
      const node = this.#resolve(value) ?? value ?? (item.key as Node);
      places.set(key, this.#placeOf(node.range?.[0] ?? 0));
      const setting = settings.get(key);
      if (setting === undefined) {
        this.#faultAt(item.key as Node, `${key}: ${role} has no such setting${hint(key, settings.keys())}`);
      } else {
        args.push(...this.#readSetting(setting, node));
      }
    }
    for (const { key, option } of settings.values()) {
      if (option.mandatory && !places.has(key) && !this.#given.has(key))
        this.#faultAt(pair.key as Node, `${role}: ${key} is missing: ${option.description}`);
    }
    return { arguments: args, places };
  }

  /** By key, without those that a merged map (`<<`) says otherwise than the map itself, or one that is merged before. */
  #settingsIn(map: YAMLMap, within: readonly Node[] = []): ReadonlyMap<string, Pair> {
    const read = this.#settings.get(map);
    if (read !== undefined) return read;
    const own = new Map(map.items.map((item) => [keyOf(item), item]));
    this.#settings.set(map, own);
    const merge = own.get(MERGE_KEY);
    if (merge === undefined) return own;
    own.delete(MERGE_KEY);
    const node = (merge.value ?? merge.key) as Node;
    const value = this.#resolve(node);
    const sources = isSeq(value) ? value.items.map((item) => this.#resolve(item as Node)) : [value];
    for (const source of sources) {
      if (!isMap(source)) {
        this.#faultAt(node, `${MERGE_KEY}: wanted a map of settings, or a list of such`);
      } else if (source === map || within.includes(source)) {
        this.#faultAt(node, `${MERGE_KEY}: a map cannot be merged into itself`);
      } else {
        for (const [key, item] of this.#settingsIn(source, [...within, map])) if (!own.has(key)) own.set(key, item);
      }
    }
    return own;
  }

  /** What an alias stands for. */
  #resolve(node: Node | null): Node | null {
    if (!isAlias(node)) return node;
    const resolved = node.resolve(this.#document) ?? null;
    if (resolved === null) this.#faultAt(node, `*${node.source}: nothing before has that anchor`);
    return resolved;
  }

  #readSetting(setting: Setting, node: Node): string[] {
    if (isSeq(node)) {
      if (setting.kind === "list") {
        return node.items.flatMap((item) => this.#readValue(setting, this.#resolve(item as Node) ?? (item as Node)));
      }
      this.#faultAt(node, `${setting.key}: one value, not a list`);
      return [];
    }
    return this.#readValue(setting, node);
  }

  #readValue(setting: Setting, node: Node): string[] {
    const { key, option, kind, isFile } = setting;
    // Without what it stands for; that was said.
    if (isAlias(node)) return [];
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

/** YAML 1.1's, which the core schema of 1.2 lacks and many files have. */
const MERGE_KEY = "<<";

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
