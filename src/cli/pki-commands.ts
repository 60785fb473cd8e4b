/** `bats-proxy pki init` and `pki issue`. */
import { Command, InvalidArgumentError } from "commander";
import { pathSegment } from "../proxy/identity.ts";
import { addHelp, type Example } from "./help.ts";
import { EXIT, UserError } from "./user-error.ts";

interface InitOptions {
  dir: string;
  name: string;
  days: number;
}

interface IssueOptions extends InitOptions {
  server?: boolean;
  san: string[];
  organization?: string;
}

const INIT_EXAMPLE: Example = { what: "An authority in ./pki", shell: "bats-proxy pki init" };
const SERVER_EXAMPLE: Example = {
  what: "A server's certificate",
  shell: "bats-proxy pki issue --name cloud.example --san IP:192.0.2.1 --server",
};
const NODE_EXAMPLE: Example = { what: "A client's", shell: "bats-proxy pki issue --name edge-1" };

export function createPkiCommand(): Command {
  const pki = addHelp(new Command("pki"), { examples: [INIT_EXAMPLE, SERVER_EXAMPLE, NODE_EXAMPLE] });
  pki.description("a small certificate authority, for those who have none");
  addHelp(pki.command("init"), { examples: [INIT_EXAMPLE] })
    .description("make the authority: DIR/ca.crt, which every node needs, and DIR/ca.key, which stays here")
    .option("--dir <dir>", "where its files are", "pki")
    .option("--name <name>", "the authority's name", "bats-proxy CA")
    .option("--days <n>", "how long it is valid", parseDays, 3650)
    .action(init);
  addHelp(pki.command("issue"), { examples: [SERVER_EXAMPLE, NODE_EXAMPLE] })
    .description("make a certificate under it: DIR/NAME.crt and DIR/NAME.key")
    .requiredOption("--name <name>", "the common name: by it the other end and its rules know who this is")
    .option("--dir <dir>", "where the authority's files are, and these go", "pki")
    .option("--server", "for a server: clients check its name against the one they connect to")
    .option("--san <name>", "an alternative name: DNS:HOST, IP:ADDRESS, URI:URI (repeatable)", collect, [])
    .option("--organization <name>", "the subject's O, such as system:nodes")
    .option("--days <n>", "how long it is valid", parseDays, 365)
    .action(issue);
  return pki;
}

async function init({ dir, name, days }: InitOptions): Promise<void> {
  const { createAuthority } = await import("../pki/certificates.ts");
  const { pemPaths, writePem } = await import("../pki/files.ts");
  const paths = pemPaths(dir, "ca");
  await failing(async () => writePem(paths, dir, await createAuthority(name, days)));
  process.stdout.write(`${paths.certificate}: give it to every node\n${paths.key}: keep it here, and safe\n`);
}

async function issue({ dir, name, server = false, san, organization, days }: IssueOptions): Promise<void> {
  const { defaultSubjectAltNames, issueCertificate } = await import("../pki/certificates.ts");
  const { pemPaths, readPem, writePem } = await import("../pki/files.ts");
  const segment = pathSegment(name);
  if (segment === null || segment === "ca")
    throw new UserError(EXIT.usage, `--name ${JSON.stringify(name)} is no name for a node`);
  const paths = pemPaths(dir, segment);
  await failing(async () => {
    const authority = readPem(pemPaths(dir, "ca"));
    const subjectAltNames = [...new Set([...defaultSubjectAltNames(name), ...san])];
    const issued = await issueCertificate(authority, { commonName: name, organization, subjectAltNames, server, days });
    writePem(paths, dir, issued);
    const until = issued.notAfter.toISOString().slice(0, 10);
    process.stdout.write(
      `${paths.certificate}: ${server ? "server" : "client"} certificate of ${name}, valid until ${until}\n${paths.key}\n`,
    );
  });
}

async function failing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { name, message } = error as Error;
    if (name === "SubjectAltNameError") throw new UserError(EXIT.usage, `--san ${message}`);
    if (name === "PkiFileError") throw new UserError(EXIT.cannotStart, message);
    throw error;
  }
}

function parseDays(text: string): number {
  const days = Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= 36_500) return days;
  throw new InvalidArgumentError("Write a whole number of days from 1 to 36500.");
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
