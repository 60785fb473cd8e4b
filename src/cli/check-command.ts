/** `bats-proxy check`: whether a configuration file would do, without starting anything. */
import { existsSync } from "node:fs";
import { Command } from "commander";
import { ConfigurationError, readConfiguration, type Section } from "../config/configuration-file.ts";
import { configurationSchema } from "../config/json-schema.ts";
import { CredentialsError } from "../tls/index.ts";
import type { Configure, Role } from "./configuration.ts";
import { type CredentialPaths, checkCredentials, credentialsWords, exitCodeOf } from "./credential-files.ts";
import { addHelp, type HelpText } from "./help.ts";
import { OptionFaultsError } from "./option-faults.ts";
import { EXIT, type ExitCode, UserError } from "./user-error.ts";

const HELP: HelpText = {
  examples: [
    { what: "Whether a node could start with its file", shell: "bats-proxy check edge-1.yaml" },
    { what: "The schema, for an editor", shell: "bats-proxy check --schema > bats-proxy.schema.json" },
  ],
};

export function createCheckCommand(roles: ReadonlyMap<string, Configure>): Command {
  return addHelp(new Command("check"), HELP)
    .description("check a configuration file and the certificates that it names")
    .argument("[file]", "the configuration file")
    .option("--schema", "print the JSON schema of such files, for editors")
    .action((file: string | undefined, { schema = false }: { schema?: boolean }) => {
      const commands = new Map([...roles].map(([role, configure]) => [role, configure(new Command(role))]));
      if (schema) {
        process.stdout.write(`${JSON.stringify(configurationSchema(commands), null, 2)}\n`);
        return;
      }
      if (file === undefined) throw new UserError(EXIT.usage, "say which file: bats-proxy check FILE");
      check(file, commands);
    });
}

function check(file: string, commands: ReadonlyMap<string, Command>): void {
  const faults: Fault[] = [];
  for (const section of sectionsOf(file, commands)) {
    const command = (commands.get(section.role) as Command).exitOverride().action(() => {});
    const together = faultsTogether(section, command);
    const paths = command.opts<CredentialPaths>();
    const found = [...together, ...faultsOf(section, paths)];
    faults.push(...found);
    if (found.length > 0) continue;
    process.stdout.write(`${file}: ${section.role}: good, ${checkCredentials(paths, section.role as Role)}\n`);
  }
  if (faults.length > 0) throw new UserError(faults[0].exitCode, faults.map(({ text }) => text).join("\n"));
}

function sectionsOf(file: string, commands: ReadonlyMap<string, Command>): Section[] {
  try {
    return readConfiguration(file, commands);
  } catch (error) {
    if (error instanceof ConfigurationError) throw new UserError(EXIT.usage, error.message);
    throw error;
  }
}

interface Fault {
  exitCode: ExitCode;
  text: string;
}

/** Of settings that do not go together. */
function faultsTogether({ arguments: args, place, places }: Section, command: Command): Fault[] {
  try {
    command.parse(args, { from: "user" });
    return [];
  } catch (error) {
    if (!(error instanceof OptionFaultsError)) throw error;
    return error.faults.map(({ key, message }) => ({
      exitCode: error.exitCode,
      text: key === null ? `${place}: ${message}` : `${places.get(key)}: ${key}: ${message}`,
    }));
  }
}

/** Of the files that a section names: all that are missing, or else what is wrong with them. */
function faultsOf({ role, places }: Section, paths: CredentialPaths): Fault[] {
  const faults: Fault[] = [];
  for (const part of ["ca", "cert", "key", "crl"] as const) {
    const path = paths[part];
    if (path === undefined || existsSync(path)) continue;
    faults.push({ exitCode: EXIT.cannotStart, text: `${places.get(part)}: ${part}: ${path} does not exist` });
  }
  if (faults.length > 0) return faults;
  try {
    checkCredentials(paths, role as Role);
  } catch (error) {
    if (!(error instanceof CredentialsError)) throw error;
    const { part } = error;
    faults.push({ exitCode: exitCodeOf(error), text: `${places.get(part)}: ${part}: ${credentialsWords(error)}` });
  }
  return faults;
}
