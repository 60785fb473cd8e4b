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
  let before = await fetchStatus(address);
  if (json) {
    process.stdout.write(`${JSON.stringify(before, null, 2)}\n`);
    return;
  }
  const live = process.stdout.isTTY === true;
  do {
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    const status = await fetchStatus(address);
    const lines = formatStatus(status, before).map(escapeControls);
    const shown = live ? lines.slice(0, (process.stdout.rows ?? 24) - 1) : lines;
    process.stdout.write(`${live ? "\x1b[H\x1b[J" : ""}${shown.join("\n")}\n`);
    before = status;
  } while (live);
}

function fetchStatus(address: StatusAddress): Promise<Status> {
  const where = "path" in address ? { socketPath: address.path } : address;
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      const name = "path" in address ? `unix:${address.path}` : `${address.host}:${address.port}`;
      reject(new UserError(EXIT.unreachable, `nothing to see at ${name}: ${why}; does it run with --metrics?`));
    };
    const request = get({ ...where, path: "/status", timeout: TIMEOUT_MS, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("error", (error) => fail(error.message));
      response.on("end", () => {
        try {
          resolve(JSON.parse(text) as Status);
        } catch {
          fail("something else answers there");
        }
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", (error) => fail(error.message));
  });
}
