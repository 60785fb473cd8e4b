/** What the tests of transfers share: folders, a session, and both ends of a transfer over it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach } from "vitest";
import type { ClientOptions, Session } from "../../src/index.ts";
import { Claims } from "../../src/transfer/claims.ts";
import { awaitControlStream, openControlStream } from "../../src/transfer/control.ts";
import { Folder, type FolderOptions } from "../../src/transfer/folder.ts";
import { Outbox } from "../../src/transfer/outbox.ts";
import { Progress } from "../../src/transfer/progress.ts";
import { type ReceiveOptions, ReceiveSession } from "../../src/transfer/receive-session.ts";
import { type SendOptions, SendSession } from "../../src/transfer/send-session.ts";
import { findRoots } from "../../src/transfer/tree.ts";
import { pair } from "../api/support.ts";
import { createFolder } from "../proxy/local.ts";

const folders: { remove(): void }[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) folder.remove();
});

/** A folder that goes after the test. */
export function folder(): string {
  const made = createFolder();
  folders.push(made);
  return made.path;
}

/** Files by their paths; text is content. */
export function fill(root: string, files: Record<string, string | Buffer>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
}

export interface TransferTest {
  /** The client receives. */
  reverse?: boolean;
  send?: Partial<SendOptions>;
  receive?: Partial<ReceiveOptions>;
  folder?: FolderOptions;
  outbox?: Outbox;
  connect?: ClientOptions;
  claims?: Claims;
}

export interface Both {
  client: Session;
  server: Session;
  sent: Progress;
  received: Progress;
  outbox: Outbox;
  /** How each end ended: null for well. */
  over: Promise<{ sender: Error | null; receiver: Error | null }>;
}

/** Starts a transfer of `paths` into `to`. */
export async function start(paths: string[], to: string, test: TransferTest = {}): Promise<Both> {
  const { reverse = false, claims = new Claims() } = test;
  const { client, server } = await pair(test.connect === undefined ? {} : { connect: test.connect });
  const outbox = test.outbox ?? new Outbox(await findRoots(paths));
  const progress = new Progress();
  const [opened, awaited] = [openControlStream(client), awaitControlStream(server)];
  const sender = new SendSession(reverse ? server : client, outbox, {
    control: reverse ? awaited : opened,
    trustTimes: false,
    compress: false,
    ...test.send,
  });
  const receiver = new ReceiveSession(reverse ? client : server, {
    control: reverse ? opened : awaited,
    trustTimes: false,
    fsync: false,
    folder: await Folder.open(to, test.folder),
    claims,
    peer: "edge-1",
    progress,
    ...test.receive,
  });
  const fate = (run: Promise<void>) => run.then(() => null).catch((error: Error) => error);
  const over = Promise.all([fate(sender.run()), fate(receiver.run())]).then(([sender, receiver]) => ({
    sender,
    receiver,
  }));
  return { client, server, sent: outbox.progress, received: progress, outbox, over };
}

/** A transfer that goes through. */
export async function transfer(paths: string[], to: string, test: TransferTest = {}): Promise<Both> {
  const both = await start(paths, to, test);
  const { sender, receiver } = await both.over;
  if (sender !== null || receiver !== null) throw sender ?? receiver;
  return both;
}
