/** Completion for fish, from 3 on: one `complete` for each word. */
import type { CompletedCommand, CompletedValue } from "./completed-commands.ts";

export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path.length > 0).map(({ path }) => quoted(path.join("/")));
  const lines = [
    "# fish completion of bats-proxy; made by `bats-proxy completion fish`.",
    "# Whether the words so far lead to that command.",
    "function __bats_proxy_at",
    "    set -l path ''",
    "    for word in (commandline -opc)[2..-1]",
    '        set -l next (string trim -l -c / -- "$path/$word")',
    `        contains -- $next ${paths.join(" ")}; and set path $next`,
    "    end",
    '    test "$path" = "$argv[1]"',
    "end",
    "complete -c bats-proxy -f",
  ];
  for (const { path, subcommands, options, arguments: operands } of commands) {
    const at = `complete -c bats-proxy -n ${quoted(`__bats_proxy_at ${quoted(path.join("/"))}`)}`;
    for (const { name, description } of subcommands) lines.push(`${at} -a ${name} -d ${quoted(description)}`);
    for (const value of operands) {
      if (value.kind !== "text") lines.push(`${at} -F`);
      if (value.choices.length > 0) lines.push(`${at} -a ${quoted(value.choices.join(" "))}`);
    }
    for (const { flags, description, value } of options) {
      const names = flags
        .map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
        .join(" ");
      lines.push(`${at} ${names}${value === null ? "" : ` ${argumentOf(value)}`} -d ${quoted(description)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function argumentOf({ choices, kind }: CompletedValue): string {
  if (choices.length > 0) return `-x -a ${quoted(choices.join(" "))}`;
  return kind === "text" ? "-x" : kind === "directory" ? "-x -a '(__fish_complete_directories)'" : "-r -F";
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
