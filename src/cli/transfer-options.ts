/** Options that `send` and `receive` share: either of them may be the one that waits for the other. */
import { type Command, Option } from "commander";
import { syntax } from "../proxy/forward-endpoint.ts";
import { matchesPattern, namesOf } from "../proxy/identity.ts";
import type { PeerIdentity } from "../tls/index.ts";
import { parseHostPort, parseListenAddress } from "../transport/host-port.ts";
import type { CredentialPaths } from "./credential-files.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogOptions } from "./log-output.ts";
import { reading, readNumber, repeatable } from "./options.ts";
import { EXIT, UserError } from "./user-error.ts";

export interface TransferOptions extends CredentialPaths, LogOptions {
  connect?: string;
  serverName?: string;
  fallback?: string;
  retry: number;
  listen?: string;
  listenTls?: string;
  allow: string[];
  trustTimes?: boolean;
  json?: boolean;
}

export const TRANSFER_ALPN = "bats-transfer/1";

export function addTransferOptions(command: Command): Command {
  return command
    .addOption(new Option("--connect <host:port>", "where the other end waits").argParser(checked(parseHostPort)))
    .addOption(
      new Option("--listen <[host:]port>", "or wait for it on this UDP port").argParser(checked(parseListenAddress)),
    )
    .addOption(
      new Option("--allow <identity>", "with --listen: who may (repeatable; nobody by default)")
        .argParser(repeatable(parseIdentity))
        .default([], "nobody"),
    )
    .requiredOption("--ca <file>", "certificates of the authorities that the other end's must come from (PEM)")
    .requiredOption("--cert <file>", "this node's certificate, intermediates after it (PEM)")
    .requiredOption("--key <file>", "its private key (PEM)")
    .option("--crl <file>", "certificate revocation lists (PEM)")
    .option("--server-name <name>", "the name in the server's certificate (default: the host of --connect)")
    .addOption(
      new Option(
        "--fallback <tls:host:port>",
        "with --connect: the other end's --listen-tls, for where UDP is blocked",
      ).argParser(checked(parseFallback)),
    )
    .addOption(
      new Option(
        "--listen-tls <[host:]port>",
        "with --listen: a TCP port for those whose network blocks UDP",
      ).argParser(checked(parseListenAddress)),
    )
    .addOption(
      new Option("--retry <seconds>", "with --connect: how long to try on when the other end does not answer")
        .argParser(readNumber(0, 86_400 * 30))
        .default(300),
    )
    .option("--trust-times", "take files of the same size and time for the same, without reading them")
    .option("--json", "print each result as a line of JSON, and no progress")
    .addOption(new Option("--log-level <level>", "with --listen: what is logged").choices(LOG_LEVELS).default("info"))
    .addOption(
      new Option("--log-format <format>", "with --listen: lines for people, or for machines")
        .choices(LOG_FORMATS)
        .default("text"),
    );
}

/** Exactly one end waits; the options of the other part are a mistake. */
export function checkRole(options: TransferOptions): "client" | "server" {
  const { connect, listen } = options;
  if ((connect === undefined) === (listen === undefined)) {
    throw new UserError(EXIT.usage, "say --connect HOST:PORT, or --listen [HOST:]PORT when the other end connects");
  }
  const wrong =
    connect === undefined
      ? { "--server-name": options.serverName, "--fallback": options.fallback }
      : { "--listen-tls": options.listenTls, "--allow": options.allow.length > 0 ? options.allow : undefined };
  for (const [name, value] of Object.entries(wrong)) {
    if (value === undefined) continue;
    throw new UserError(EXIT.usage, `${name}: goes with ${connect === undefined ? "--connect" : "--listen"} only`);
  }
  return connect === undefined ? "server" : "client";
}

/** Whether a rule names one of the peer's names. */
export function isAllowed(allow: readonly string[], peer: PeerIdentity): boolean {
  return namesOf(peer).some((name) => allow.some((pattern) => matchesPattern(pattern, name)));
}

function checked(parse: (text: string) => unknown): (text: string) => string {
  return reading((text) => {
    parse(text);
    return text;
  });
}

function parseFallback(text: string): void {
  if (!text.startsWith("tls:")) throw syntax(text, "a fallback is tls:HOST:PORT");
  parseHostPort(text.slice(4));
}

function parseIdentity(text: string): string {
  if (text === "") throw syntax(text, "an identity is a name in a certificate, as in 'edge-*', or '*' for everyone");
  if (/=(?:tcp|udp|unix):|=tun/.test(text)) {
    throw syntax(text, "here a rule is an IDENTITY alone, without a target, as in 'edge-*'");
  }
  return text;
}
