/** `bats-proxy perf`: how much goes over a session between two hosts, and what the path does meanwhile. */
import { Command, Option } from "commander";
import { connect } from "../api/connect.ts";
import { BatsError } from "../api/errors.ts";
import { listen } from "../api/listener.ts";
import type { Session } from "../api/session.ts";
import { type Interval, Intervals } from "../perf/intervals.ts";
import { measure, PERF_ALPN, type Result, serveMeasurement } from "../perf/measurement.ts";
import { LARGEST_BYTES, PERF_MODES, type Plan, type Tally } from "../perf/plan.ts";
import { nameOf } from "../proxy/identity.ts";
import { CredentialsError } from "../tls/index.ts";
import { formatAddress } from "../transport/address.ts";
import { type CredentialPaths, credentialsWords, exitCodeOf } from "./credential-files.ts";
import { addHelp, type Example } from "./help.ts";
import { escapeControls } from "./log-output.ts";
import { readInteger, readNumber } from "./options.ts";
import { aborted, shutdownSignal } from "./shutdown.ts";
import { EXIT, type ExitCode, UserError } from "./user-error.ts";

interface ClientOptions extends CredentialPaths {
  connect: string;
  serverName?: string;
  mode: Plan["mode"];
  reverse?: boolean;
  seconds: number;
  parallel: number;
  size?: number;
  rate: number;
  json?: boolean;
}

interface Outcome extends Result {
  interrupted: boolean;
  intervals: Interval[];
}

/** The modes that each of these options means something in. */
const MODES_OF = { parallel: ["stream"], size: ["message", "datagram"], rate: ["datagram"] } as const;
const DEFAULT_SIZE_BYTES = { stream: 65_536, message: 16_384, datagram: 1200 };

const SERVER_EXAMPLE: Example = {
  what: "The end that waits",
  shell: "bats-proxy perf server --listen 4434 --ca pki/ca.crt --cert pki/localhost.crt --key pki/localhost.key",
};
const CLIENT_EXAMPLE: Example = {
  what: "The end that measures: 10 s of one stream",
  shell: "bats-proxy perf client --connect localhost:4434 --ca pki/ca.crt --cert pki/edge-1.crt --key pki/edge-1.key",
};
const DATAGRAM_EXAMPLE: Example = {
  what: "Datagrams from the server, at 20 Mbit/s",
  shell: "bats-proxy perf client ... --reverse --mode datagram --rate 20",
};

export function createPerfCommand(): Command {
  const perf = addHelp(new Command("perf"), { examples: [SERVER_EXAMPLE, CLIENT_EXAMPLE] });
  perf.description("measure what goes over a session between two hosts");
  addCredentials(
    addHelp(perf.command("server"), { examples: [SERVER_EXAMPLE] }).description(
      "wait for clients that measure; anyone with a certificate may",
    ),
  )
    .requiredOption("--listen <[host:]port>", "the UDP port")
    .action(serve);
  addCredentials(
    addHelp(perf.command("client"), { examples: [CLIENT_EXAMPLE, DATAGRAM_EXAMPLE] }).description(
      "measure, and print the result",
    ),
  )
    .requiredOption("--connect <host:port>", "where `bats-proxy perf server` runs")
    .option("--server-name <name>", "the name in the server's certificate (default: the host of --connect)")
    .addOption(new Option("--mode <mode>", "what is sent").choices(PERF_MODES).default("stream"))
    .option("--reverse", "the server sends")
    .addOption(new Option("--seconds <s>", "for how long").argParser(readNumber(0.1, 3600)).default(10))
    .addOption(new Option("--parallel <n>", "streams at once").argParser(readInteger(1, 64)).default(1))
    .addOption(
      new Option("--size <bytes>", "of a message (16384) or datagram (1200, at most 65507)").argParser(
        readInteger(1, 1_000_000),
      ),
    )
    .addOption(
      new Option("--rate <mbps>", "at which datagrams are sent").argParser(readNumber(0.001, 100_000)).default(10),
    )
    .option("--json", "print the result as JSON, and no progress")
    .action(run);
  return perf;
}

function addCredentials(command: Command): Command {
  return command
    .requiredOption("--ca <file>", "certificates of the authorities that the other end's must come from (PEM)")
    .requiredOption("--cert <file>", "this node's certificate (PEM)")
    .requiredOption("--key <file>", "its private key (PEM)")
    .option("--crl <file>", "certificate revocation lists (PEM)");
}

async function serve(options: CredentialPaths & { listen: string }): Promise<void> {
  const signal = shutdownSignal();
  const { listen: address, ...files } = options;
  const listener = await listen({ listen: address, ...files, alpn: PERF_ALPN }).catch((error: Error) => {
    throw failure(error, EXIT.cannotStart);
  });
  process.stderr.write(`measuring on UDP ${formatAddress(listener.address)}\n`);
  listener.on("session", (session) => {
    const name = escapeControls(nameOf(session.peer.identity));
    serveMeasurement(session).then(
      ({ mode, reverse }) => process.stderr.write(`${name}: ${mode}${reverse ? ", reverse" : ""}: done\n`),
      (error: Error) => {
        process.stderr.write(`${name}: ${escapeControls(error.message)}\n`);
        session.destroy();
      },
    );
    session.on("close", () => {});
  });
  await aborted(signal);
  await listener.close({ timeoutMs: 1000 });
}

/** Throws for options that the mode has no use for. */
function checkModes({ mode, size = 0 }: ClientOptions, command: Command): void {
  for (const [name, modes] of Object.entries(MODES_OF)) {
    if (command.getOptionValueSource(name) === "cli" && !(modes as readonly string[]).includes(mode)) {
      throw new UserError(EXIT.usage, `--${name} is for --mode ${modes.join(" or ")}, not for ${mode}`);
    }
  }
  const most = LARGEST_BYTES[mode];
  if (size > most) throw new UserError(EXIT.usage, `--size: a ${mode} has at most ${most} bytes`);
}

async function run(options: ClientOptions, command: Command): Promise<void> {
  checkModes(options, command);
  const {
    mode,
    reverse = false,
    seconds,
    parallel,
    rate,
    json = false,
    connect: target,
    serverName,
    ca,
    cert,
    key,
    crl,
  } = options;
  const credentials = { ca, cert, key, ...(crl === undefined ? {} : { crl }) };
  const names = serverName === undefined ? {} : { serverName };
  const session = await connect(target, { ...credentials, ...names, alpn: PERF_ALPN }).catch((error: Error) => {
    throw failure(error, EXIT.unreachable);
  });
  const plan: Plan = {
    mode,
    reverse,
    seconds,
    parallel,
    sizeBytes: options.size ?? DEFAULT_SIZE_BYTES[mode],
    rateMbps: rate,
  };
  const signal = shutdownSignal();
  let intervals: Intervals | null = null;
  const lost = new Promise<never>((_, reject) => {
    session.once("close", (error) =>
      reject(new UserError(EXIT.unreachable, error?.message ?? "the server closed the session")),
    );
  });
  const result = await Promise.race([
    measure(session, plan, signal, (tally) => {
      const show = (interval: Interval) => process.stdout.write(progressText(interval, reverse ? "received" : "sent"));
      intervals = new Intervals(session, tally, json ? () => {} : show);
    }).catch((error: Error) => {
      throw failure(error, EXIT.unreachable);
    }),
    lost,
  ]).finally(() => intervals?.stop());
  const outcome = { ...result, interrupted: signal.aborted, intervals: intervals!.all };
  process.stdout.write(
    json ? `${JSON.stringify(resultJson(session, plan, outcome), null, 2)}\n` : resultText(session, plan, outcome),
  );
  lost.catch(() => {});
  if (signal.aborted) session.destroy();
  else await session.close();
}

/** `exitCode`: of what is not about certificates. */
function failure(error: Error, exitCode: ExitCode): UserError {
  const { cause } = error;
  if (cause instanceof CredentialsError) return new UserError(exitCodeOf(cause), credentialsWords(cause));
  const refused = error instanceof BatsError && error.code === "ERR_BATS_HANDSHAKE";
  return new UserError(refused ? EXIT.certificate : exitCode, error.message);
}

function progressText({ mbps, rttMs, lossRate, redundancy }: Interval, verb: string): string {
  return (
    `${verb} ${mbps.toFixed(1).padStart(8)} Mbit/s, RTT ${rttMs.toFixed(1)} ms, ` +
    `loss ${(lossRate * 100).toFixed(1)} %, redundancy ${(redundancy * 100).toFixed(1)} %\n`
  );
}

function goodputMbps({ bytes, elapsedMs }: Tally): number {
  return elapsedMs > 0 ? (bytes * 8) / 1000 / elapsedMs : 0;
}

function resultJson(session: Session, plan: Plan, { sent, received, interrupted, intervals }: Outcome): object {
  const { rttMs, minRttMs, lossRate, redundancy, io, aead } = session.stats();
  return {
    plan,
    interrupted,
    sent,
    received,
    goodputMbps: received === null ? null : goodputMbps(received),
    path: { rttMs, minRttMs, lossRate, redundancy, io, aead },
    intervals,
  };
}

function resultText(session: Session, { mode, reverse }: Plan, { sent, received, interrupted }: Outcome): string {
  const { rttMs, io, aead } = session.stats();
  const missing =
    mode === "datagram" && sent !== null && received !== null
      ? `, ${((1 - received.count / Math.max(1, sent.count)) * 100).toFixed(2)} % of ${sent.count} missing`
      : "";
  const counted =
    received === null
      ? `${megabytes(sent)} sent; the server did not say what arrived`
      : `${goodputMbps(received).toFixed(1)} Mbit/s, ${megabytes(received)} in ` +
        `${(received.elapsedMs / 1000).toFixed(2)} s${missing}`;
  return (
    `${reverse ? "from the server" : "to the server"}, ${mode}${interrupted ? ", interrupted" : ""}: ${counted}; ` +
    `RTT ${rttMs.toFixed(1)} ms, sockets by ${io}, ${aead}\n`
  );
}

function megabytes(tally: Tally | null): string {
  return `${((tally?.bytes ?? 0) / 1e6).toFixed(1)} MB`;
}
