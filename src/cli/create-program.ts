/** All that `bats-proxy` takes on its command line. Each subcommand is a file beside this one; running them is `program.ts`. */
import { Command } from "commander";
import { createCheckCommand } from "./check-command.ts";
import { configureClient } from "./client-command.ts";
import { createCompletionCommand } from "./completion-command.ts";
import { addHelp } from "./help.ts";
import { VERSION } from "./operations.ts";
import { createPerfCommand } from "./perf-command.ts";
import { createPkiCommand } from "./pki-commands.ts";
import { createReceiveCommand } from "./receive-command.ts";
import { createSendCommand } from "./send-command.ts";
import { configureServer } from "./server-command.ts";
import { createStatusCommand } from "./status-command.ts";

export interface Program {
  readonly program: Command;
  /** Those that a configuration file has a section for, by its name. */
  readonly roles: ReadonlyMap<string, Command>;
}

export function createProgram(): Program {
  const program = addHelp(new Command("bats-proxy"), {
    notes:
      "Exit codes: 0 done, 1 cannot start, 2 wrong usage, 3 certificates, 4 no server (with --fail-fast), 5 not all was transferred.",
    examples: [
      {
        what: "Both ends on one host",
        shell: `bats-proxy pki init && bats-proxy pki issue --name localhost --server && bats-proxy pki issue --name edge-1
bats-proxy server --listen 4433 --ca pki/ca.crt --cert pki/localhost.crt --key pki/localhost.key \\
  --allow 'edge-1=tcp:127.0.0.1:80' &
bats-proxy client --connect localhost:4433 --ca pki/ca.crt --cert pki/edge-1.crt --key pki/edge-1.key \\
  -L tcp:127.0.0.1:8080=tcp:127.0.0.1:80`,
      },
    ],
  })
    .description("Forwards TCP, UDP and Unix sockets between two hosts over a network that loses packets.")
    .version(VERSION);
  const configures = new Map([
    ["server", configureServer],
    ["client", configureClient],
  ]);
  const roles = new Map([...configures].map(([role, configure]) => [role, configure(program.command(role))]));
  program.addCommand(createCheckCommand(configures));
  program.addCommand(createStatusCommand());
  program.addCommand(createPerfCommand());
  program.addCommand(createSendCommand());
  program.addCommand(createReceiveCommand());
  program.addCommand(createPkiCommand());
  program.addCommand(createCompletionCommand(() => program));
  return { program, roles };
}
