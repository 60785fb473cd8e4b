/** Options that `server` and `client` share, and how their values are read. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ValueParser } from "../config/setting.ts";
import { AddressSyntaxError } from "../transport/host-port.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogOptions } from "./log-output.ts";

export interface CommonOptions extends LogOptions {
  config?: string;
  ca: string;
  cert: string;
  key: string;
  crl?: string;
  unixMode: number;
  udpIdle: number;
  udpDeadline?: number;
  udpSources: number;
  drain: number;
  io: (typeof IO_PATHS)[number];
}

/** How datagrams get in and out of the kernel; docs/io.md. */
const IO_PATHS = ["auto", "native", "dgram"] as const;

export function addCommonOptions(command: Command): Command {
  return command
    .option("--config <file>", "YAML with any of these options; they may stand here too, and win")
    .requiredOption("--ca <file>", "certificates of the authorities that the other end's must come from (PEM)")
    .requiredOption("--cert <file>", "this node's certificate, intermediates after it (PEM)")
    .requiredOption("--key <file>", "its private key (PEM)")
    .option("--crl <file>", "certificate revocation lists (PEM)")
    .addOption(
      new Option("--unix-mode <mode>", "mode of Unix sockets made here").argParser(readMode).default(0o600, "600"),
    )
    .addOption(
      new Option("--udp-idle <seconds>", "a UDP source that is quiet this long is forgotten")
        .argParser(readNumber(0.05, 86_400))
        .default(120),
    )
    .addOption(
      new Option("--udp-deadline <ms>", "after which a datagram is not worth delivering any more").argParser(
        readNumber(1, 60_000),
      ),
    )
    .addOption(
      new Option("--udp-sources <n>", "UDP sources at once, of each forward")
        .argParser(readNumber(1, 3000))
        .default(1000),
    )
    .addOption(
      new Option("--drain <seconds>", "on SIGTERM, how long open connections may take to finish")
        .argParser(readNumber(0, 86_400))
        .default(10),
    )
    .addOption(
      new Option("--io <way>", "how datagrams reach the kernel: many a call where that works, or one by one")
        .choices(IO_PATHS)
        .default("auto"),
    )
    .addOption(new Option("--log-level <level>", "what is logged").choices(LOG_LEVELS).default("info"))
    .addOption(
      new Option("--log-format <format>", "lines for people, or for machines").choices(LOG_FORMATS).default("text"),
    );
}

/** A repeatable option whose values `parse` reads; an error of syntax becomes the command's. */
export function repeatable<T>(parse: (text: string) => T): ValueParser<T[]> {
  const parser: ValueParser<T[]> = (text, before = []) => [...before, reading(parse)(text)];
  parser.repeatable = true;
  return parser;
}

/** One that takes each value once: what a file says may be said again on the command line. */
export function distinct<T>(parse: (text: string) => T): ValueParser<T[]> {
  const parser: ValueParser<T[]> = (text, before) => [...new Set(repeatable(parse)(text, before))];
  parser.repeatable = true;
  return parser;
}

export function reading<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof AddressSyntaxError)) throw error;
      // Commander says what the value was; where the fault is in a part of it, that stands in front.
      throw new InvalidArgumentError(error.text === text ? error.problem : error.message);
    }
  };
}

export function readNumber(least: number, most: number): ValueParser<number> {
  return readingNumber(least, most, "number", () => true);
}

export function readInteger(least: number, most: number): ValueParser<number> {
  return readingNumber(least, most, "whole number", Number.isInteger);
}

function readingNumber(
  least: number,
  most: number,
  what: string,
  isOne: (value: number) => boolean,
): ValueParser<number> {
  const parser: ValueParser<number> = (text) => {
    const value = Number(text);
    if (text.trim() !== "" && isOne(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Write a ${what} from ${least} to ${most}.`);
  };
  parser.range = [least, most];
  return parser;
}

function readMode(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  throw new InvalidArgumentError("Write an octal mode such as 600 or 660.");
}
