/** `bats-proxy client`: keeps a session to a server and forwards over it. */
import { type Command, Option } from "commander";
import { connect, DEFAULT_RESUME_TIMEOUT_MS } from "../api/connect.ts";
import type { Session } from "../api/session.ts";
import type { Monitor } from "../operate/monitor.ts";
import { ClientForwards } from "../proxy/client-forwards.ts";
import { type Forward, parseForward, syntax } from "../proxy/forward-endpoint.ts";
import type { ForwardSession } from "../proxy/forward-session.ts";
import { prepareLinger } from "../proxy/linger.ts";
import { LocalSocketError } from "../proxy/local-socket.ts";
import type { Log } from "../proxy/log.ts";
import { keepConnected } from "../proxy/reconnect.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { parseHostPort } from "../transport/host-port.ts";
import { TunnelClient } from "../tunnel/tunnel-client.ts";
import { Hangups } from "./configuration.ts";
import { connectFailure, judge } from "./connect-failure.ts";
import { loadCredentials, watchCredentials } from "./credential-files.ts";
import { addHelp, type HelpText } from "./help.ts";
import { createLog } from "./log-output.ts";
import { addOperationsOptions, type OperationsOptions, operationsFaults, startOperations } from "./operations.ts";
import { checkOptions, type OptionFault } from "./option-faults.ts";
import { addCommonOptions, type CommonOptions, distinct, readNumber, repeatable } from "./options.ts";
import { ALPN } from "./server-command.ts";
import { shutdownSignal } from "./shutdown.ts";
import {
  addClientTunnelOptions,
  type ClientTunnelOptions,
  openPort,
  sessionOptions,
  tunnelFaults,
  tunnelHooks,
} from "./tunnel-options.ts";
import { EXIT, UserError } from "./user-error.ts";

interface ClientOptions extends CommonOptions, OperationsOptions, ClientTunnelOptions {
  connect: string[];
  serverName?: string;
  fallback: string[];
  local: Forward[];
  remote: Forward[];
  keepAlive: number;
  resumeTimeout?: number;
  failFast?: boolean;
}

/** How long a session waits for its server, s; where there are others to go to, longer than the minute that connections outlive. */
const RESUME_S = DEFAULT_RESUME_TIMEOUT_MS / 1000;
const SWITCH_S = 75;

/** How long a session waits for its server, ms. */
export function resumeTimeoutMs({ connect, resumeTimeout }: Pick<ClientOptions, "connect" | "resumeTimeout">): number {
  return 1000 * (resumeTimeout ?? (connect.length > 1 ? SWITCH_S : RESUME_S));
}

const HELP: HelpText = {
  notes: `LISTEN and TARGET are tcp:HOST:PORT, udp:HOST:PORT or unix:PATH; IPv6 addresses stand in brackets.
{identity} in them stands for the name in this client's certificate.`,
  examples: [
    {
      what: "The cloud's web server at port 8080 here",
      shell: `bats-proxy client --connect cloud.example:4433 --ca pki/ca.crt --cert pki/edge-1.crt --key pki/edge-1.key \\
  -L tcp:127.0.0.1:8080=tcp:127.0.0.1:80`,
    },
    {
      what: "This host's kubelet, reachable from the cloud",
      shell: "bats-proxy client ... -R 'unix:/run/bats/{identity}.sock=tcp:127.0.0.1:10250'",
    },
    { what: "DNS over the session", shell: "bats-proxy client ... -L udp:127.0.0.1:5353=udp:10.0.0.2:53" },
    { what: "As the section client: of a file says", shell: "bats-proxy client --config edge-1.yaml" },
  ],
};

export function configureClient(command: Command): Command {
  checkOptions(command, faultsOf);
  return addCommonOptions(
    addOperationsOptions(addClientTunnelOptions(addHelp(command, HELP)))
      .description("connect to a server and forward over the session")
      .addOption(
        new Option("--connect <host:port>", "the server (repeatable: tried in turn)").makeOptionMandatory().argParser(
          distinct((text) => {
            parseHostPort(text);
            return text;
          }),
        ),
      )
      .option("--server-name <name>", "the name in the server's certificate (default: the host of --connect)")
      .addOption(
        new Option(
          "--fallback <tls:host:port>",
          "the server's --listen-tls, for where UDP is blocked (repeatable: one for each --connect, in its order)",
        )
          .argParser(
            repeatable((text) => {
              if (!text.startsWith("tls:")) throw syntax(text, "a fallback is tls:HOST:PORT");
              parseHostPort(text.slice(4));
              return text;
            }),
          )
          .default([], "none"),
      )
      .addOption(
        new Option("-L, --local <listen=target>", "listen here, reach the target from the server (repeatable)")
          .argParser(repeatable(parseForward))
          .default([], "none"),
      )
      .addOption(
        new Option("-R, --remote <listen=target>", "listen at the server, reach the target from here (repeatable)")
          .argParser(repeatable(parseForward))
          .default([], "none"),
      )
      .addOption(
        new Option("--keep-alive <seconds>", "how soon a silent server is asked whether it is there; 0 for never")
          .argParser(readNumber(0, 3600))
          .default(3),
      )
      .addOption(
        new Option(
          "--resume-timeout <seconds>",
          `how long connections wait for a silent server before they are given up (default: ${RESUME_S}; with several --connect ${SWITCH_S}, then the next is tried)`,
        ).argParser(readNumber(0, 86_400)),
      )
      .option(
        "--fail-fast",
        "exit when a certificate file is missing or no server answers at first, instead of waiting",
      ),
  ).action(run);
}

function faultsOf(options: ClientOptions): OptionFault[] {
  const faults: OptionFault[] = [];
  if (options.local.length + options.remote.length === 0 && options.tun === undefined) {
    const message = "nothing to forward: add -L LISTEN=TARGET, -R LISTEN=TARGET or --tun NAME=ADDRESS";
    faults.push({ key: null, message });
  }
  faults.push(...tunnelFaults(options));
  const [servers, fallbacks] = [options.connect.length, options.fallback.length];
  if (fallbacks > 0 && fallbacks !== servers) {
    const message = `give each server of --connect its own, in the same order: ${servers}, not ${fallbacks}`;
    faults.push({ key: "fallback", message });
  }
  return [...faults, ...operationsFaults(options)];
}

async function run(options: ClientOptions): Promise<void> {
  const hangups = new Hangups();
  const operations = await startOperations("client", options, createLog(options));
  const { log, monitor } = operations;
  const signal = shutdownSignal();
  await prepareLinger();
  const forwards = new ClientForwards({
    local: options.local,
    remote: options.remote,
    unixMode: options.unixMode,
    maxFlows: options.udpSources,
    flowIdleMs: options.udpIdle * 1000,
    datagramDeadlineMs: options.udpDeadline,
    log,
  });
  await forwards.listen().catch((error: Error) => {
    throw error instanceof LocalSocketError ? new UserError(EXIT.cannotStart, error.message) : error;
  });
  const tunnel = await openTunnel(options, { log, monitor, signal });
  const credentials = await loadCredentials(options, {
    role: "client",
    log,
    signal,
    failFast: options.failFast ?? false,
  });
  const stopWatching = watchCredentials(credentials, options, log);
  hangups.reload<ClientOptions>({
    role: "client",
    configure: configureClient,
    options,
    reloadable: ["local", "remote"],
    apply: async ({ local, remote }) => {
      // What may fail comes first.
      credentials.reload();
      await forwards.change(local, remote);
    },
    log,
  });
  operations.started();
  const keepAliveMs = options.keepAlive * 1000;
  let session = null as Session | null;
  const names = options.serverName === undefined ? {} : { serverName: options.serverName };
  const connected = keepConnected<Session>({
    targets: options.connect,
    connect: async (target, attempt) => {
      const fallback = options.fallback[options.connect.indexOf(target)];
      const session = await connect(target, {
        credentials,
        alpn: ALPN,
        ...sessionOptions(options),
        io: options.io,
        keepAliveMs,
        resumeTimeoutMs: resumeTimeoutMs(options),
        signal: attempt,
        ...names,
        ...(fallback === undefined ? {} : { fallback }),
      });
      let said = "";
      session.on("retry", ({ message }) => {
        // What is tried beside a link that works is no news.
        if (!session.suspended || message === said) log.debug({ server: target }, `${target}: ${message}; tries on`);
        else log.warn({ server: target }, `${target}: ${message}; tries on`);
        said = message;
      });
      session.on("suspended", () => log.warn({ server: target }, `${target}: does not answer; connections wait`));
      session.on("resumed", () => log.info({ server: target }, `${target}: is back`));
      const sayPath = (address: Address): void => {
        const at = formatAddress(address);
        if (address.carrier === undefined) log.info({ server: target, address: at }, `${target}: is reached at ${at}`);
        else log.warn({ server: target, address: at }, `${target}: no answer over UDP: goes by ${at}, tries UDP on`);
      };
      if (session.peer.address.carrier !== undefined) sayPath(session.peer.address);
      session.on("path", sayPath);
      return session;
    },
    judge,
    onSession: (established, target) => {
      session = established;
      const forwarding = forwards.attach(established);
      monitor.add(established, forwarding);
      established.once(
        "close",
        monitor.watchFallback(() => established.fallbackStats()),
      );
      const { io } = established.stats();
      log.info({ server: target, io }, `${target}: connected to ${forwarding.peer}, sockets by ${io}`);
      tunnel?.attach(established, forwarding);
    },
    log,
    failFast: options.failFast ?? false,
    signal,
  });
  await connected.catch(async (error: Error) => {
    forwards.stopListening();
    await tunnel?.stop();
    throw connectFailure(error);
  });
  forwards.stopListening();
  operations.stopping();
  log.info({}, "stopping: no new connections");
  await forwards.session?.drained(options.drain * 1000);
  await tunnel?.stop();
  await session?.close({ timeoutMs: 1000 });
  hangups.stop();
  stopWatching();
  operations.close();
  log.info({}, "stopped");
}

interface ClientTunnel {
  attach(session: Session, forwarding: ForwardSession): void;
  stop(): Promise<void>;
}

/** The tunnel, where one is wanted. */
async function openTunnel(
  options: ClientOptions,
  { log, monitor, signal }: { log: Log; monitor: Monitor; signal: AbortSignal },
): Promise<ClientTunnel | null> {
  if (options.tun === undefined) return null;
  const port = await openPort(options, log);
  let isUp = false;
  const hooks = tunnelHooks(options, port, log, signal);
  port.onReopened = () => {
    if (isUp) void hooks.up();
  };
  const tunnel = new TunnelClient({
    port,
    routes: options.route,
    mtu: options.tunMtu,
    log,
    onGranted: () => {
      if (isUp) return;
      isUp = true;
      void hooks.up();
    },
  });
  monitor.watchTunnel(() => tunnel.counter.read());
  return {
    attach: (session, forwarding) =>
      void tunnel.attach(session, (stream, receive) => forwarding.claimDatagrams(stream, receive)),
    stop: async () => {
      port.onReopened = () => {};
      if (isUp) await hooks.down();
      tunnel.close();
      await port.close();
    },
  };
}
