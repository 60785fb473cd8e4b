/**
 * Some clients of `restart.ts` in one process, made of the parts of `bats-proxy client`: a process for each would measure how 100 hosts
 * share one machine's processors. Gets its settings in a message and answers with the ports where the forwards listen, once all are connected.
 */
import { once } from "node:events";
import { connect } from "../src/api/connect.ts";
import type { Session } from "../src/api/session.ts";
import { ALPN } from "../src/cli/server-command.ts";
import { ClientForwards } from "../src/proxy/client-forwards.ts";
import { parseForward } from "../src/proxy/forward-endpoint.ts";
import { keepConnected } from "../src/proxy/reconnect.ts";
import { Credentials } from "../src/tls/index.ts";

export interface ClientsOptions {
  clients: number;
  server: string;
  target: string;
  ca: string;
  cert: string;
  key: string;
}

/** The command's default. */
const KEEP_ALIVE_MS = 3000;

async function startClient({ server, target, ca, cert, key }: ClientsOptions): Promise<number> {
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
  const credentials = new Credentials({ ca, cert, key });
  await new Promise<void>((resolve) => {
    void keepConnected<Session>({
      targets: [server],
      connect: (at, signal) => connect(at, { credentials, alpn: ALPN, keepAliveMs: KEEP_ALIVE_MS, signal }),
      judge: () => "retry",
      onSession: (session) => {
        forwards.attach(session);
        resolve();
      },
      log,
      signal: new AbortController().signal,
    });
  });
  return port;
}

const [options] = (await once(process, "message")) as [ClientsOptions];
const ports: number[] = [];
while (ports.length < options.clients) ports.push(await startClient(options));
process.send!(ports);
