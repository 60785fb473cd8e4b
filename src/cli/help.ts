/** What the help of a command says after its options: notes and examples. Kept as data, for the reference and the manual page. */
import type { Command } from "commander";

export interface Example {
  /** What it does, without a full stop. */
  readonly what: string;
  /** Lines of a shell. */
  readonly shell: string;
}

export interface HelpText {
  readonly notes?: string;
  readonly examples: readonly Example[];
}

const texts = new WeakMap<Command, HelpText>();

export function addHelp(command: Command, text: HelpText): Command {
  texts.set(command, text);
  const { notes, examples } = text;
  const shown = examples.map(({ what, shell }) => `  ${what}:\n${shell.replace(/^/gm, "    ")}\n`);
  return command.addHelpText("after", `\n${notes === undefined ? "" : `${notes}\n\n`}Examples:\n${shown.join("")}`);
}

export function helpOf(command: Command): HelpText {
  return texts.get(command) ?? { examples: [] };
}
