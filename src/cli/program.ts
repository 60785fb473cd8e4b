/** The command line of `bats-proxy`; each subcommand is a file beside this one. */
import { Command, CommanderError } from "commander";
import { nearestWord } from "../config/nearest-word.ts";
import { createCheckCommand } from "./check-command.ts";
import { configureClient } from "./client-command.ts";
import { withConfiguration } from "./configuration.ts";
import { escapeControls } from "./log-output.ts";
import { VERSION } from "./operations.ts";
import { createPerfCommand } from "./perf-command.ts";
import { createPkiCommand } from "./pki-commands.ts";
import { createReceiveCommand } from "./receive-command.ts";
import { createSendCommand } from "./send-command.ts";
import { configureServer } from "./server-command.ts";
import { createStatusCommand } from "./status-command.ts";
import { EXIT, UserError } from "./user-error.ts";

const program = new Command("bats-proxy")
  .description("Forwards TCP, UDP and Unix sockets between two hosts over a network that loses packets.")
  .version(VERSION)
  .addHelpText(
    "after",
    `
Quick start, both ends on one host:
  bats-proxy pki init && bats-proxy pki issue --name localhost --server && bats-proxy pki issue --name edge-1
  bats-proxy server --listen 4433 --ca pki/ca.crt --cert pki/localhost.crt --key pki/localhost.key \\
    --allow 'edge-1=tcp:127.0.0.1:80' &
  bats-proxy client --connect localhost:4433 --ca pki/ca.crt --cert pki/edge-1.crt --key pki/edge-1.key \\
    -L tcp:127.0.0.1:8080=tcp:127.0.0.1:80
Exit codes: 0 done, 1 cannot start, 2 wrong usage, 3 certificates, 4 no server (with --fail-fast), 5 not all was transferred.
`,
  );
const roles = new Map([
  ["server", configureServer],
  ["client", configureClient],
]);
const commands = new Map([...roles].map(([role, configure]) => [role, configure(program.command(role))]));
program.addCommand(createCheckCommand(roles));
program.addCommand(createStatusCommand());
program.addCommand(createPerfCommand());
program.addCommand(createSendCommand());
program.addCommand(createReceiveCommand());
program.addCommand(createPkiCommand());

/** Errors of the command line are thrown here, from every level, and end with one exit code. */
function throwErrors(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} });
  for (const child of command.commands) throwErrors(child);
}
throwErrors(program);

try {
  await program.parseAsync(withConfiguration(process.argv.slice(2), commands), { from: "user" });
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
