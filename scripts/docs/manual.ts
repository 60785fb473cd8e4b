/** docs/man/bats-proxy.1: the manual page, in roff with the macros of man(7). */
import type { DescribedCommand, DescribedValue } from "./definitions.ts";

const EXIT_CODES: readonly [code: string, meaning: string][] = [
  ["0", "done, or stopped by a signal after draining"],
  ["1", "cannot start: a port in use, a file that cannot be read or written; or stopped by a second signal"],
  ["2", "wrong usage"],
  ["3", "certificates: expired, of another key, for the other end, or not accepted by one of the ends"],
  ["4", "no server could be reached: with --fail-fast, or for --retry seconds of send and receive"],
  ["5", "send, receive: something was not transferred, the other end refused, or it was stopped"],
];

export function manualPage(commands: readonly DescribedCommand[], version: string): string {
  const [program, ...rest] = commands;
  const lines = [
    '.\\" Made by `npm run docs` from what parses the command line; not edited.',
    `.TH BATS\\-PROXY 1 "" "bats\\-transport ${version}" "User Commands"`,
    ".SH NAME",
    `bats\\-proxy \\- ${text(lowered(program.description)).replace(/\.$/, "")}`,
    ".SH SYNOPSIS",
    ...commands
      .filter(({ usage }) => !usage.includes("[command]"))
      .flatMap(({ name, usage }) => [".PP", `.B ${text(name)}`, text(usage)]),
    ".SH DESCRIPTION",
    "The server waits on one UDP port near what is to be reached, usually in the cloud; clients connect to it, usually from the edge.",
    "Both ends prove who they are with certificates, and nothing is allowed that the server was not told to allow.",
    ".SH OPTIONS",
    ...values(program.options),
    ".SH COMMANDS",
  ];
  for (const command of rest) {
    lines.push(`.SS ${text(command.name)}`, ...paragraph(command.description));
    lines.push(...values(command.arguments), ...values(command.options));
    if (command.help.notes !== undefined) lines.push(".PP", ...paragraph(command.help.notes));
  }
  lines.push(".SH EXIT STATUS");
  for (const [code, meaning] of EXIT_CODES) lines.push(".TP", `.B ${code}`, text(meaning));
  lines.push(".SH EXAMPLES");
  const seen = new Set<string>();
  for (const { help } of commands) {
    for (const { what, shell } of help.examples) {
      if (seen.has(shell)) continue;
      seen.add(shell);
      lines.push(".PP", `${text(what)}:`, ".PP", ".in +4n", ".nf", ...shell.split("\n").map(text), ".fi", ".in");
    }
  }
  return `${lines.join("\n")}\n`;
}

function values(described: readonly DescribedValue[]): string[] {
  return described.flatMap((value) => [".TP", `.B ${text(value.term)}`, ...paragraph(value.text)]);
}

function paragraph(words: string): string[] {
  return words.split("\n").map(text);
}

/** Literal text: roff's escapes and control lines have no meaning in it, and a hyphen stays one that can be copied. */
function text(words: string): string {
  const escaped = words
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

function lowered(words: string): string {
  return `${words.charAt(0).toLowerCase()}${words.slice(1)}`;
}
