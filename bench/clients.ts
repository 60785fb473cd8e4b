/**
 * Many clients in one process, each with a socket, a forward and tickets of its own and one certificate for all, made of the parts of
 * `bats-proxy client`: a process for each would measure how so many hosts share one machine's processors. Gets its settings in a message,
 * says when it has read its credentials, dials when told to, and reports each time that a client's forward has carried a byte there and back.
 */
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Session } from "../src/api/session.ts";
import { ALPN } from "../src/cli/server-command.ts";
import { issueCertificate, type Pem } from "../src/pki/certificates.ts";
import { parseForward } from "../src/proxy/forward-endpoint.ts";

// What works is the built code, which is what people run; its declarations leave out what is internal.
const { Credentials, connect }: typeof import("../src/index.ts") = await load("index");
const { ClientForwards }: typeof import("../src/proxy/client-forwards.ts") = await load("proxy/client-forwards");
const { keepConnected }: typeof import("../src/proxy/reconnect.ts") = await load("proxy/reconnect");

export interface ClientsOptions {
  /** The number of the first, and how many. */
  first: number;
  clients: number;
  /** How many dial at once. */
  atOnce: number;
  server: string;
  /** Of the forwards: an echo. */
  target: string;
  authority: Pem;
  keepAliveMs: number;
}

/** What the process says. */
export type ClientsReport = { type: "ready" } | { type: "works"; client: number; atMs: number };

/** Between two attempts of an echo. */
const RETRY_MS = 100;

function load(module: string) {
  return import(`../dist/${module}.js`);
}

function report(message: ClientsReport): void {
  process.send!(message);
}

/** Sends a byte through the forward until it comes back. */
function echo(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1");
    socket.write("?");
    socket.once("data", () => {
      resolve(true);
      socket.end();
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}

/** Resolves when the first session works. */
async function startClient(
  client: number,
  options: ClientsOptions,
  credentials: InstanceType<typeof Credentials>,
): Promise<void> {
  const { server, target, keepAliveMs } = options;
  let port = 0;
  const log = {
    debug: () => {},
    info: (fields: object) => {
      if ("listen" in fields) port = Number(/:(\d+)$/.exec(String(fields.listen))![1]);
    },
    warn: () => {},
    error: () => {},
  };
  const forwards = new ClientForwards({
    local: [parseForward(`tcp:127.0.0.1:0=${target}`)],
    remote: [],
    unixMode: 0o600,
    maxFlows: 1000,
    flowIdleMs: 120_000,
    datagramDeadlineMs: undefined,
    log,
  });
  await forwards.listen();
  await new Promise<void>((resolve) => {
    void keepConnected<Session>({
      targets: [server],
      connect: (at, signal) => connect(at, { credentials, alpn: ALPN, keepAliveMs, signal }),
      judge: () => "retry",
      onSession: async (session) => {
        forwards.attach(session);
        while (!(await echo(port))) {
          if (session.closed) return;
          await delay(RETRY_MS);
        }
        report({ type: "works", client, atMs: performance.timeOrigin + performance.now() });
        resolve();
      },
      log,
      signal: new AbortController().signal,
    });
  });
}

process.once("disconnect", () => process.exit());
const [options] = (await once(process, "message")) as [ClientsOptions];
const name = { commonName: `edge-${options.first}`, subjectAltNames: [], server: false, days: 1 };
const { certificate, key } = await issueCertificate(options.authority, name);
const sources = { ca: options.authority.certificate, cert: certificate, key };
const credentials = Array.from({ length: options.clients }, () => new Credentials(sources));
report({ type: "ready" });
await once(process, "message");
let next = 0;
async function startInTurn(): Promise<void> {
  while (next < options.clients) {
    const i = next++;
    await startClient(options.first + i, options, credentials[i]);
  }
}
for (let i = 0; i < options.atOnce; i++) void startInTurn();
