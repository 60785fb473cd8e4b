/** `bats-proxy send`: files and folders to a `bats-proxy receive`. */
import { Command } from "commander";
import { openControlStream } from "../transfer/control.ts";
import { FileError } from "../transfer/errors.ts";
import { Outbox } from "../transfer/outbox.ts";
import { SendSession } from "../transfer/send-session.ts";
import { findRoots } from "../transfer/tree.ts";
import { addHelp, type HelpText } from "./help.ts";
import { transferAsClient } from "./transfer-client.ts";
import { addTransferOptions, checkRole, type TransferOptions } from "./transfer-options.ts";
import { transferAsServer } from "./transfer-server.ts";
import { EXIT, UserError } from "./user-error.ts";

interface SendCommandOptions extends TransferOptions {
  compress?: boolean;
}

const HELP: HelpText = {
  examples: [
    {
      what: "A folder to a host where `bats-proxy receive --listen 4434 --allow edge-1 ... incoming` waits",
      shell:
        "bats-proxy send --connect cloud.example:4434 --ca pki/ca.crt --cert pki/edge-1.crt --key pki/edge-1.key logs",
    },
    {
      what: "Firmware for nodes behind a NAT to fetch with `bats-proxy receive --connect cloud.example:4434 ... firmware`",
      shell:
        "bats-proxy send --listen 4434 --allow 'edge-*' --ca pki/ca.crt --cert pki/cloud.crt --key pki/cloud.key image.bin",
    },
  ],
};

export function createSendCommand(): Command {
  return addTransferOptions(
    addHelp(new Command("send"), HELP)
      .description("send files and folders, verified, and go on where an earlier attempt broke off")
      .argument("<path...>", "what is sent; it gets the same name at the other end"),
  )
    .option("--compress", "compress what shrinks")
    .action(run);
}

async function run(paths: string[], options: SendCommandOptions): Promise<void> {
  const part = checkRole(options);
  const roots = () =>
    findRoots(paths).catch((error: Error) => {
      throw error instanceof FileError ? new UserError(EXIT.cannotStart, error.message) : error;
    });
  const settings = {
    trustTimes: options.trustTimes ?? false,
    compress: options.compress ?? false,
  };
  const first = await roots();
  if (part === "client") {
    const outbox = new Outbox(first);
    await transferAsClient("sender", options, outbox.progress, (session) =>
      new SendSession(session, outbox, { ...settings, control: openControlStream(session) }).run(),
    );
    return;
  }
  await transferAsServer(options, {
    role: "sender",
    once: false,
    begin: async () => {
      // What is there by now.
      const outbox = new Outbox(await roots());
      return {
        progress: outbox.progress,
        run: (session, control) => new SendSession(session, outbox, { ...settings, control }).run(),
      };
    },
  });
}
