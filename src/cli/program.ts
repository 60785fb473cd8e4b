/** Runs `bats-proxy` as its command line says. */
import { type Command, CommanderError } from "commander";
import { nearestWord } from "../config/nearest-word.ts";
import { withConfiguration } from "./configuration.ts";
import { createProgram } from "./create-program.ts";
import { escapeControls } from "./log-output.ts";
import { EXIT, UserError } from "./user-error.ts";

const { program, roles } = createProgram();

/** Errors of the command line are thrown here, from every level, and end with one exit code. */
function throwErrors(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} });
  for (const child of command.commands) throwErrors(child);
}
throwErrors(program);

try {
  await program.parseAsync(withConfiguration(process.argv.slice(2), roles), { from: "user" });
} catch (error) {
  // Listeners that were opened before something else failed would keep it running.
  process.exit(report(error as Error));
}

function report(error: Error): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok;
    // Help in an error's place has been shown.
    if (error.code !== "commander.help") complain(commandLineWords(error).replace("\n", " "));
    return EXIT.usage;
  }
  if (error instanceof UserError) {
    for (const line of error.message.split("\n")) complain(line);
    return error.exitCode;
  }
  // A signal came before there was anything to drain.
  if (error.name === "AbortError") return EXIT.ok;
  throw error;
}

function complain(line: string): void {
  process.stderr.write(`bats-proxy: ${escapeControls(line)}\n`);
}

/** An option that was mistyped is also one that is missing, and commander speaks of that first. */
function commandLineWords(error: CommanderError): string {
  const words = error.message.replace(/^error: /, "");
  if (error.code !== "commander.missingMandatoryOptionValue") return words;
  let command = program;
  let rest = process.argv.slice(2);
  for (let next: Command | undefined = program; next !== undefined; ) {
    command = next;
    next = command.commands.find((child) => child.name() === rest[0]);
    if (next !== undefined) rest = rest.slice(1);
  }
  const unknown = command
    .parseOptions(rest)
    .unknown.find((word) => word.startsWith("--"))
    ?.split("=", 1)[0];
  if (unknown === undefined) return words;
  const nearest = nearestWord(
    unknown,
    command.options.map(({ long }) => long ?? "").filter((long) => long !== ""),
  );
  return `unknown option '${unknown}'${nearest === null ? "" : ` (Did you mean ${nearest}?)`}`;
}
