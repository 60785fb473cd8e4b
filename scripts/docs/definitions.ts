/** The commands of `bats-proxy` as the reference and the manual page show them, from the definitions that parse the command line. */
import type { Argument, Command, Option } from "commander";
import { createProgram } from "../../src/cli/create-program.ts";
import { type HelpText, helpOf } from "../../src/cli/help.ts";
import type { ValueParser } from "../../src/config/setting.ts";

export interface DescribedValue {
  /** As it is written: "-L, --local <listen=target>", "[file]". */
  readonly term: string;
  /** A sentence or two. */
  readonly text: string;
}

export interface DescribedCommand {
  /** "bats-proxy pki issue". */
  readonly name: string;
  readonly description: string;
  /** What follows the name. */
  readonly usage: string;
  readonly arguments: readonly DescribedValue[];
  readonly options: readonly DescribedValue[];
  readonly help: HelpText;
}

/** The program first, each command before its subcommands. */
export function describedCommands(): DescribedCommand[] {
  return describe(createProgram().program, "");
}

function describe(command: Command, above: string): DescribedCommand[] {
  const name = `${above}${command.name()}`;
  const help = command.createHelp();
  const children = help.visibleCommands(command).filter((child) => child.name() !== "help");
  const own: DescribedCommand = {
    name,
    description: sentence(command.description()),
    usage: command.usage(),
    arguments: command.registeredArguments.map(describeArgument),
    options: help.visibleOptions(command).map(describeOption),
    help: helpOf(command),
  };
  return [own, ...children.flatMap((child) => describe(child, `${name} `))];
}

function describeArgument(argument: Argument): DescribedValue {
  const { argChoices, defaultValue, defaultValueDescription } = argument;
  const shown = defaultValueDescription ?? defaultValue;
  const parts = [sentence(argument.description)];
  if (argChoices !== undefined) parts.push(`One of ${argChoices.join(", ")}.`);
  if (shown !== undefined) parts.push(`Default ${shown}.`);
  const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return { term: argument.required ? `<${name}>` : `[${name}]`, text: parts.join(" ") };
}

function describeOption(option: Option): DescribedValue {
  const { description, argChoices, defaultValue, defaultValueDescription, mandatory } = option;
  const range = (option.parseArg as ValueParser<unknown> | undefined)?.range;
  const isPlain = ["string", "number"].includes(typeof defaultValue);
  const shown = defaultValueDescription ?? (isPlain ? defaultValue : undefined);
  const parts = [sentence(description)];
  if (argChoices !== undefined) parts.push(`One of ${argChoices.join(", ")}.`);
  if (range !== undefined) parts.push(`From ${range[0]} to ${range[1]}.`);
  if (mandatory) parts.push("Required.");
  if (shown !== undefined) parts.push(`Default ${shown}.`);
  return { term: option.flags, text: parts.join(" ") };
}

function sentence(text: string): string {
  const capital = `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return /[.?!]$/.test(capital) ? capital : `${capital}.`;
}
