/** `bats-proxy receive`: into a folder, and nowhere else, what a `bats-proxy send` sends. */
import { Command } from "commander";
import { pathSegment } from "../proxy/identity.ts";
import { Claims } from "../transfer/claims.ts";
import { openControlStream } from "../transfer/control.ts";
import { TransferError } from "../transfer/errors.ts";
import { Folder } from "../transfer/folder.ts";
import { Progress } from "../transfer/progress.ts";
import { ReceiveSession } from "../transfer/receive-session.ts";
import { addHelp, type HelpText } from "./help.ts";
import { transferAsClient } from "./transfer-client.ts";
import { addTransferOptions, checkRole, type TransferOptions } from "./transfer-options.ts";
import { transferAsServer } from "./transfer-server.ts";
import { EXIT, UserError } from "./user-error.ts";

interface ReceiveCommandOptions extends TransferOptions {
  once?: boolean;
  fsync?: boolean;
  outsideLinks?: boolean;
}

const HELP: HelpText = {
  examples: [
    {
      what: "Each node's files in a folder of its own",
      shell: `bats-proxy receive --listen 4434 --allow 'edge-*' --ca pki/ca.crt --cert pki/cloud.crt --key pki/cloud.key \\
  'incoming/{identity}'`,
    },
    {
      what: "What a host offers with `bats-proxy send --listen 4434 --allow edge-1 ... image.bin`",
      shell:
        "bats-proxy receive --connect cloud.example:4434 --ca pki/ca.crt --cert pki/edge-1.crt --key pki/edge-1.key firmware",
    },
  ],
};

export function createReceiveCommand(): Command {
  return addTransferOptions(
    addHelp(new Command("receive"), HELP)
      .description("receive files and folders into a folder, verified; unfinished ones go on where they were")
      .argument("<folder>", "where they go; {identity} in it stands for the sender's name (with --listen)"),
  )
    .option("--once", "with --listen: exit after the first transfer that went through")
    .option("--fsync", "wait for each file to be on the disk before it gets its name")
    .option("--outside-links", "take symbolic links that lead out of the folder, too")
    .action(run);
}

async function run(path: string, options: ReceiveCommandOptions): Promise<void> {
  const part = checkRole(options);
  const { once = false, outsideLinks = false, trustTimes = false, fsync = false } = options;
  const claims = new Claims();
  const settings = { trustTimes, fsync, claims };
  const perPeer = path.includes("{identity}");
  if (part === "client") {
    if (once) throw new UserError(EXIT.usage, "--once: goes with --listen only");
    if (perPeer) throw new UserError(EXIT.usage, "{identity} stands for the sender's name with --listen only");
    const folder = await openFolder(path, outsideLinks);
    const progress = new Progress();
    const received = new Set<string>();
    await transferAsClient("receiver", options, progress, (session) => {
      const control = openControlStream(session);
      return new ReceiveSession(session, { ...settings, control, folder, peer: "", progress, received }).run();
    });
    return;
  }
  // A folder that cannot be written to is said at once.
  if (!perPeer) await openFolder(path, outsideLinks);
  await transferAsServer(options, {
    role: "receiver",
    once,
    begin: async (peer) => {
      const segment = pathSegment(peer);
      if (perPeer && segment === null) throw new TransferError("local", "a peer without a name has no folder here");
      const folder = await Folder.open(path.replaceAll("{identity}", segment ?? ""), { outsideLinks });
      const progress = new Progress();
      return {
        progress,
        run: (session, control) => new ReceiveSession(session, { ...settings, control, folder, peer, progress }).run(),
      };
    },
  });
}

function openFolder(path: string, outsideLinks: boolean): Promise<Folder> {
  return Folder.open(path, { outsideLinks }).catch((error: Error) => {
    throw error instanceof TransferError ? new UserError(EXIT.cannotStart, error.message) : error;
  });
}
