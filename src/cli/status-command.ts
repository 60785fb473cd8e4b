/** `bats-proxy status`: what a running proxy does, once as JSON or live on the terminal. */
import { get } from "node:http";
import { Argument, Command } from "commander";
import type { Status } from "../operate/status.ts";
import type { StatusAddress } from "../operate/status-server.ts";
import { formatStatus } from "../operate/status-text.ts";
import { addHelp, type HelpText } from "./help.ts";
import { escapeControls } from "./log-output.ts";
import { parseStatusAddress } from "./operations.ts";
import { reading } from "./options.ts";
import { EXIT, UserError } from "./user-error.ts";

const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
const DEFAULT_ADDRESS = "9464";

const HELP: HelpText = {
  examples: [
    { what: "Live, of the proxy that has --metrics 9464", shell: "bats-proxy status" },
    { what: "Once, of another, for a script", shell: "bats-proxy status unix:/run/bats/status.sock --json" },
  ],
};

export function createStatusCommand(): Command {
  return addHelp(new Command("status"), HELP)
    .description("show the sessions of a proxy that runs with --metrics")
    .addArgument(
      new Argument("[address]", "the address of its --metrics")
        .argParser(reading(parseStatusAddress))
        .default(parseStatusAddress(DEFAULT_ADDRESS), DEFAULT_ADDRESS),
    )
    .option("--json", "print the state once, as JSON")
    .action(run);
}

async function run(address: StatusAddress, { json = false }: { json?: boolean }): Promise<void> {
  const before = await fetchOrGiveUp(address);
  if (json) {
    process.stdout.write(`${JSON.stringify(before, null, 2)}\n`);
    return;
  }
  if (process.stdout.isTTY) return live(address, before);
  await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  const lines = formatStatus(await fetchOrGiveUp(address), before);
  process.stdout.write(`${lines.map(escapeControls).join("\n")}\n`);
}

function fetchOrGiveUp(address: StatusAddress): Promise<Status> {
  return fetchStatus(address).catch(({ message }: Error) => {
    const words = `nothing to see at ${nameOf(address)}: ${message}; does it run with --metrics?`;
    throw new UserError(EXIT.unreachable, words);
  });
}

/** Draws the terminal anew each second, also while the proxy does not answer: it may be starting again. */
async function live(address: StatusAddress, first: Status): Promise<never> {
  let before = first;
  let lines: string[] = [];
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    // As large as the terminal is now, but for the line of the cursor; 0 is a terminal that does not know.
    const { rows, columns } = process.stdout;
    try {
      const status = await fetchStatus(address);
      lines = formatStatus(status, before, (rows || 24) - 1);
      before = status;
    } catch (error) {
      lines = [`no answer from ${nameOf(address)}: ${(error as Error).message}; asks again`, ...lines.slice(1)];
    }
    const shown = lines
      .slice(0, (rows || 24) - 1)
      .map((line) => [...escapeControls(line)].slice(0, columns || 80).join(""));
    process.stdout.write(`\x1b[H\x1b[J${shown.join("\n")}\n`);
  }
}

function nameOf(address: StatusAddress): string {
  return "path" in address ? `unix:${address.path}` : `${address.host}:${address.port}`;
}

/** Rejects with why there is none. */
function fetchStatus(address: StatusAddress): Promise<Status> {
  const where = "path" in address ? { socketPath: address.path } : address;
  return new Promise((resolve, reject) => {
    const request = get({ ...where, path: "/status", timeout: TIMEOUT_MS, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve(JSON.parse(text) as Status);
        } catch {
          reject(new Error("something else answers there"));
        }
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", reject);
  });
}
