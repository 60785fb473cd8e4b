/** `bats-proxy check`: whether a configuration file would do, without starting anything. */
import { Command } from "commander";
import { ConfigurationError, readConfiguration } from "../config/configuration-file.ts";
import { configurationSchema } from "../config/json-schema.ts";
import { Credentials, CredentialsError } from "../tls/index.ts";
import type { Configure } from "./configuration.ts";
import type { CredentialPaths } from "./credential-files.ts";
import { EXIT, UserError } from "./user-error.ts";

export function createCheckCommand(roles: ReadonlyMap<string, Configure>): Command {
  return new Command("check")
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
  try {
    for (const section of readConfiguration(file, commands)) {
      let paths = {} as CredentialPaths;
      (commands.get(section.role) as Command)
        .exitOverride()
        .action((options: CredentialPaths) => {
          paths = options;
        })
        .parse(section.arguments, { from: "user" });
      process.stdout.write(`${file}: ${section.role}: ${checkCredentials(file, paths)}\n`);
    }
  } catch (error) {
    if (error instanceof ConfigurationError) throw new UserError(EXIT.usage, error.message);
    throw error;
  }
}

/** In words; files that do not exist are no fault, since the command waits for them. */
function checkCredentials(file: string, { ca, cert, key, crl }: CredentialPaths): string {
  try {
    const { certificate } = new Credentials({ ca, cert, key, ...(crl === undefined ? {} : { crl }) });
    return `good, its certificate is valid until ${certificate.validTo}`;
  } catch (error) {
    if (!(error instanceof CredentialsError)) throw error;
    if (error.missing) return `good, but ${error.message}: it would wait for it`;
    throw new UserError(EXIT.certificate, `${file}: ${error.message}`);
  }
}
