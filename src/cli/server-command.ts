/** `bats-proxy server`: takes sessions and gives each what the rules allow. */
import { type Command, Option } from "commander";
import { listen } from "../api/listener.ts";
import type { Session } from "../api/session.ts";
import type { Monitor } from "../operate/monitor.ts";
import type { CarrierStream } from "../proxy/carrier.ts";
import type { ForwardSession, Refusal, TunnelGrant, TunnelHeader } from "../proxy/forward-session.ts";
import { nameOf, namesOf } from "../proxy/identity.ts";
import { prepareLinger } from "../proxy/linger.ts";
import type { Log } from "../proxy/log.ts";
import { Permissions, parseRule, type Rule } from "../proxy/permissions.ts";
import { ServerForwards, STOPPING } from "../proxy/server-forwards.ts";
import { formatAddress } from "../transport/address.ts";
import { parseListenAddress } from "../transport/host-port.ts";
import { DEFAULT_IDLE_TIMEOUT_MS } from "../transport/link/index.ts";
import { isOwnAddress, parseTunnelRule, type TunnelRule, TunnelRules } from "../tunnel/tunnel-rules.ts";
import { TunnelServer } from "../tunnel/tunnel-server.ts";
import { Hangups } from "./configuration.ts";
import { loadCredentials, watchCredentials } from "./credential-files.ts";
import { addHelp, type HelpText } from "./help.ts";
import { listenFailure } from "./listen-failure.ts";
import { createLog } from "./log-output.ts";
import { addOperationsOptions, type OperationsOptions, operationsFaults, startOperations } from "./operations.ts";
import { checkOptions, type OptionFault } from "./option-faults.ts";
import { addCommonOptions, type CommonOptions, reading, readNumber, repeatable } from "./options.ts";
import { aborted, shutdownSignal } from "./shutdown.ts";
import {
  addServerTunnelOptions,
  openPort,
  type ServerTunnelOptions,
  sessionOptions,
  tunnelFaults,
  tunnelHooks,
} from "./tunnel-options.ts";

interface ServerOptions extends CommonOptions, OperationsOptions, ServerTunnelOptions {
  listen: string;
  listenTls?: string;
  allow: (Rule | TunnelRule)[];
  allowListen: Rule[];
  maxSessionsPerIdentity: number;
  maxConnectionsPerIdentity: number;
  resumeTimeout: number;
}

/** How long a silent client is waited for, s; and for which share of that its link is thought to live, which pings keep up. */
const RESUME_S = 300;
const LINK_SHARE = 0.4;
/** A link lives for at least so long: a process may stand still for a while, and a handshake over a bad path takes seconds. */
const LEAST_IDLE_MS = 5000;
const LEAST_RESUME_S = 10;

/** How long a session waits for its client, from about the last packet on: first with its link, then without. */
export function patience({ resumeTimeout }: Pick<ServerOptions, "resumeTimeout">): {
  idleTimeoutMs: number;
  keepSessionMs: number;
} {
  const share = LINK_SHARE * resumeTimeout * 1000;
  const idleTimeoutMs = Math.max(LEAST_IDLE_MS, Math.min(DEFAULT_IDLE_TIMEOUT_MS, share));
  return { idleTimeoutMs, keepSessionMs: resumeTimeout * 1000 - idleTimeoutMs };
}

/** The protocol spoken in sessions; docs/wire-format-proxy.md. */
export const ALPN = "bats-proxy/1";

const HELP: HelpText = {
  notes: "{identity} in a rule stands for the client's name.",
  examples: [
    {
      what: "Everyone with a certificate of that authority may reach the web server on this host",
      shell: `bats-proxy server --listen 4433 --ca pki/ca.crt --cert pki/cloud.crt --key pki/cloud.key \\
  --allow '*=tcp:127.0.0.1:80'`,
    },
    {
      what: "Each node offers its kubelet under its own name",
      shell: "bats-proxy server ... --allow-listen 'system:node:*=unix:/run/bats/{identity}.sock'",
    },
    { what: "As the section server: of a file says", shell: "bats-proxy server --config cloud.yaml" },
  ],
};

export function configureServer(command: Command): Command {
  checkOptions(command, faultsOf);
  return addCommonOptions(
    addOperationsOptions(addServerTunnelOptions(addHelp(command, HELP)))
      .description("wait for clients at the near end of what they want to reach")
      .addOption(
        new Option("--listen <[host:]port>", "the UDP port of this server").makeOptionMandatory().argParser(
          reading((text) => {
            parseListenAddress(text);
            return text;
          }),
        ),
      )
      .addOption(
        new Option("--listen-tls <[host:]port>", "a TCP port for clients whose network blocks UDP").argParser(
          reading((text) => {
            parseListenAddress(text);
            return text;
          }),
        ),
      )
      .addOption(
        new Option("--allow <identity=target>", "who may reach what (repeatable; nobody anything by default)")
          .argParser(repeatable((text) => parseTunnelRule(text) ?? parseRule(text)))
          .default([], "nothing"),
      )
      .addOption(
        new Option("--allow-listen <identity=listen>", "who may listen where, here (repeatable)")
          .argParser(repeatable(parseRule))
          .default([], "nothing"),
      )
      .addOption(
        new Option("--max-sessions-per-identity <n>", "sessions at once of one identity")
          .argParser(readNumber(1, 65_536))
          .default(256),
      )
      .addOption(
        new Option("--max-connections-per-identity <n>", "connections and UDP sources at once of one identity")
          .argParser(readNumber(1, 1_000_000))
          .default(5000),
      )
      .addOption(
        new Option(
          "--resume-timeout <seconds>",
          "about how long connections wait for a silent client before they are given up",
        )
          .argParser(readNumber(LEAST_RESUME_S, 86_400))
          .default(RESUME_S),
      ),
  ).action(run);
}

function faultsOf(options: ServerOptions): OptionFault[] {
  const faults = tunnelFaults(options);
  const rules = tunnelRules(options.allow);
  if (options.tun === undefined && rules.length > 0) {
    faults.push({ key: "allow", message: "'IDENTITY=tun': there is no tunnel without --tun" });
  }
  for (const { identity, network } of rules) {
    if (network === null || !isOwnAddress(network, options.tun?.addresses ?? [])) continue;
    const message = `'${identity}=tun:${network.text}' is the server's own address, which no client may have`;
    faults.push({ key: "allow", message });
  }
  return [...faults, ...operationsFaults(options)];
}

async function run(options: ServerOptions): Promise<void> {
  const hangups = new Hangups();
  const operations = await startOperations("server", options, createLog(options));
  const { log, monitor } = operations;
  const signal = shutdownSignal();
  await prepareLinger();
  if (options.allow.length + options.allowListen.length === 0) {
    log.warn({}, "nothing is allowed: add --allow 'IDENTITY=TARGET' or --allow-listen 'IDENTITY=LISTEN'");
  }
  const credentials = await loadCredentials(options, { role: "server", log, signal });
  // First: whoever comes before it is there would be turned away.
  const tunnel = await openTunnel(options, { log, monitor, signal });
  if (signal.aborted) await tunnel?.stop();
  signal.throwIfAborted();
  const listener = await listen({
    listen: options.listen,
    ...(options.listenTls === undefined ? {} : { listenTls: options.listenTls }),
    credentials,
    alpn: ALPN,
    io: options.io,
    maximumSessionsPerIdentity: options.maxSessionsPerIdentity,
    ...patience(options),
    ...sessionOptions(options),
  }).catch(async (error: Error) => {
    await tunnel?.stop();
    throw listenFailure(options, error);
  });
  const stopWatching = watchCredentials(credentials, options, log);
  const forwards = new ServerForwards({
    allow: forwardPermissions(options.allow),
    tunnel: tunnel === null ? null : (session, header, stream) => tunnel.open(session, header, stream),
    allowListen: new Permissions(options.allowListen),
    unixMode: options.unixMode,
    maxFlows: options.udpSources,
    flowIdleMs: options.udpIdle * 1000,
    datagramDeadlineMs: options.udpDeadline,
    maxPerIdentity: options.maxConnectionsPerIdentity,
    log,
  });
  hangups.reload<ServerOptions>({
    role: "server",
    configure: configureServer,
    options,
    reloadable: ["allow", "allowListen"],
    apply: ({ allow, allowListen }) => {
      // What may fail comes first.
      credentials.reload();
      forwards.permit({ allow: forwardPermissions(allow), allowListen: new Permissions(allowListen) });
      tunnel?.permit(tunnelRules(allow));
    },
    log,
  });
  listener.on("session", (session) => {
    const startMs = performance.now();
    const forwarding = forwards.add(session);
    monitor.add(session, forwarding);
    const { identity, address } = session.peer;
    const from = formatAddress(address);
    const names = namesOf(identity);
    log.info(
      { audit: "session", peer: forwarding.peer, address: from, names },
      `${forwarding.peer}: connected from ${from}`,
    );
    session.on("path", (moved) =>
      log.info({ peer: forwarding.peer }, `${forwarding.peer}: now at ${formatAddress(moved)}`),
    );
    session.on("suspended", () =>
      log.warn({ peer: forwarding.peer }, `${forwarding.peer}: does not answer; its connections wait`),
    );
    session.on("resumed", () => log.info({ peer: forwarding.peer }, `${forwarding.peer}: is back`));
    session.on("close", (error) => {
      const words = `${forwarding.peer}: gone: ${error?.message ?? "it closed the session"}`;
      const durationMs = Math.round(performance.now() - startMs);
      const fields = { audit: "session", peer: forwarding.peer, outcome: error?.code ?? "closed", durationMs };
      if (error?.code !== "ERR_BATS_REVOKED") log.info(fields, words);
      else log.warn({ ...fields, audit: "revoked", serialNumber: session.peer.identity.serialNumber }, words);
    });
  });
  listener.on("refused", ({ identity, address }, reason, code) => {
    const peer = nameOf(identity);
    const from = formatAddress(address);
    const fields = { audit: "refused", peer, address: from };
    const words = `${peer}: refused from ${from}: ${reason}`;
    if (code === "over-quota") log.warn({ ...fields, reason: code }, `${words} (--max-sessions-per-identity)`);
    else log.warn({ ...fields, reason: STOPPING.reason }, words);
  });
  monitor.watchFallback(() => listener.fallbackStats());
  const at = formatAddress(listener.address);
  log.info({ listen: at, io: listener.io }, `serving on UDP ${at}, sockets by ${listener.io}`);
  if (listener.tlsAddress !== null) {
    const tls = formatAddress(listener.tlsAddress);
    log.info({ listen: tls }, `serving on TCP ${tls} those who cannot use UDP`);
  }
  operations.started();

  await aborted(signal);
  hangups.stop();
  listener.refuseNew(STOPPING.message);
  forwards.stopListening();
  operations.stopping();
  log.info({}, "stopping: no new connections");
  await Promise.all([...forwards.sessions].map((session) => session.drained(options.drain * 1000)));
  await tunnel?.stop();
  await listener.close({ timeoutMs: 1000 });
  stopWatching();
  operations.close();
  log.info({}, "stopped");
}

function forwardPermissions(rules: ServerOptions["allow"]): Permissions {
  return new Permissions(rules.filter((rule) => "endpoint" in rule));
}

function tunnelRules(rules: ServerOptions["allow"]): TunnelRule[] {
  return rules.filter((rule) => "network" in rule);
}

interface ServerTunnel {
  open(session: ForwardSession, header: TunnelHeader, stream: CarrierStream): TunnelGrant | Refusal;
  permit(rules: readonly TunnelRule[]): void;
  stop(): Promise<void>;
}

/** The tunnel, where one is wanted. */
async function openTunnel(
  options: ServerOptions,
  { log, monitor, signal }: { log: Log; monitor: Monitor; signal: AbortSignal },
): Promise<ServerTunnel | null> {
  if (options.tun === undefined) return null;
  const rules = tunnelRules(options.allow);
  const port = await openPort(options, log);
  const tunnel = new TunnelServer({
    port,
    rules: new TunnelRules(rules, port.addresses),
    clientToClient: options.tunClientToClient ?? false,
    mtu: options.tunMtu,
    log,
  });
  if (rules.length === 0)
    log.warn({}, "nobody may use the tunnel: add --allow 'IDENTITY=tun' or 'IDENTITY=tun:ADDRESS'");
  monitor.watchTunnel(() => tunnel.counter.read());
  const hooks = tunnelHooks(options, port, log, signal);
  port.onReopened = () => void hooks.up();
  await hooks.up();
  return {
    open: (forwarding, header, stream) =>
      tunnel.open(forwarding.carrier as Session, header, stream, (receive) =>
        forwarding.claimDatagrams(stream, receive),
      ),
    permit: (rules) => tunnel.permit(new TunnelRules(rules, port.addresses)),
    stop: async () => {
      port.onReopened = () => {};
      await hooks.down();
      tunnel.close();
      await port.close();
    },
  };
}
