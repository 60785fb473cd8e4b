/** What shells complete of the command line: the commands' own definitions, flat, in the order in which they are shown. */
import type { Argument, Command, Option } from "commander";

export interface CompletedValue {
  /** As in the help, without brackets. */
  readonly name: string;
  /** Words to choose from; empty where any text may stand. */
  readonly choices: readonly string[];
  readonly kind: "file" | "directory" | "text";
  /** Whether it may stand several times, as the last of the arguments. */
  readonly variadic: boolean;
}

export interface CompletedOption {
  /** Such as "-L" and "--local". */
  readonly flags: readonly string[];
  readonly description: string;
  /** Null for a switch. */
  readonly value: CompletedValue | null;
}

export interface CompletedCommand {
  /** Its names from the program on, without the program: empty for the program itself. */
  readonly path: readonly string[];
  readonly description: string;
  readonly subcommands: readonly { name: string; description: string }[];
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly CompletedValue[];
}

export function completedCommands(command: Command, path: readonly string[] = []): CompletedCommand[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command).filter((child) => child.name() !== "help");
  const own: CompletedCommand = {
    path,
    description: command.description(),
    subcommands: children.map((child) => ({ name: child.name(), description: child.description() })),
    options: help.visibleOptions(command).map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined),
      description: option.description,
      value:
        option.required || option.optional ? valueFor(option, /[<[](.*)[>\]]/.exec(option.flags)?.[1] ?? "") : null,
    })),
    arguments: command.registeredArguments.map((argument) => valueFor(argument, argument.name())),
  };
  return [own, ...children.flatMap((child) => completedCommands(child, [...path, child.name()]))];
}

function valueFor({ argChoices, variadic }: Option | Argument, name: string): CompletedValue {
  const kind = /^(?:dir|folder)$/.test(name) ? "directory" : /^(?:file|path)$/.test(name) ? "file" : "text";
  return { name, choices: argChoices ?? [], kind, variadic };
}
