/** `bats-proxy server`: takes sessions and gives each what the rules allow. */
import { type Command, Option } from "commander";
import { listen } from "../api/listener.ts";
import { parseListenAddress } from "../proxy/forward-endpoint.ts";
import { namesOf } from "../proxy/identity.ts";
import { prepareLinger } from "../proxy/linger.ts";
import { Permissions, parseRule, type Rule } from "../proxy/permissions.ts";
import { ServerForwards } from "../proxy/server-forwards.ts";
import { formatAddress } from "../transport/address.ts";
import { loadCredentials, watchCredentials } from "./credential-files.ts";
import { createLog } from "./log-output.ts";
import { addCommonOptions, type CommonOptions, reading, repeatable } from "./options.ts";
import { aborted, shutdownSignal } from "./shutdown.ts";
import { EXIT, UserError } from "./user-error.ts";

interface ServerOptions extends CommonOptions {
  listen: string;
  allow: Rule[];
  allowListen: Rule[];
}

/** The protocol spoken in sessions; docs/wire-format-proxy.md. */
export const ALPN = "bats-proxy/1";

export function configureServer(command: Command): Command {
  return addCommonOptions(
    command
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
        new Option("--allow <identity=target>", "who may reach what (repeatable; nobody anything by default)")
          .argParser(repeatable(parseRule))
          .default([], "nothing"),
      )
      .addOption(
        new Option("--allow-listen <identity=listen>", "who may listen where, here (repeatable)")
          .argParser(repeatable(parseRule))
          .default([], "nothing"),
      ),
  )
    .addHelpText(
      "after",
      `
Examples:
  Everyone with a certificate of that authority may reach the web server on this host:
    bats-proxy server --listen 4433 --ca pki/ca.crt --cert pki/cloud.crt --key pki/cloud.key \\
      --allow '*=tcp:127.0.0.1:80'
  Each node offers its kubelet under its own name:
    bats-proxy server ... --allow-listen 'system:node:*=unix:/run/bats/{identity}.sock'
`,
    )
    .action(run);
}

async function run(options: ServerOptions): Promise<void> {
  const log = createLog(options);
  const signal = shutdownSignal();
  await prepareLinger();
  if (options.allow.length + options.allowListen.length === 0) {
    log.warn({}, "nothing is allowed: add --allow 'IDENTITY=TARGET' or --allow-listen 'IDENTITY=LISTEN'");
  }
  const credentials = await loadCredentials(options, log, signal);
  const listener = await listen({ listen: options.listen, credentials, alpn: ALPN, io: options.io }).catch(
    (error: Error) => {
      throw new UserError(EXIT.cannotStart, `--listen ${options.listen}: ${error.message}`);
    },
  );
  const stopWatching = watchCredentials(credentials, options, log);
  const forwards = new ServerForwards({
    allow: new Permissions(options.allow),
    allowListen: new Permissions(options.allowListen),
    unixMode: options.unixMode,
    maxFlows: options.udpSources,
    flowIdleMs: options.udpIdle * 1000,
    datagramDeadlineMs: options.udpDeadline,
    log,
  });
  listener.on("session", (session) => {
    const forwarding = forwards.add(session);
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
    session.on("close", (error) =>
      log.info(
        { audit: "session", peer: forwarding.peer },
        `${forwarding.peer}: gone: ${error?.message ?? "it closed the session"}`,
      ),
    );
  });
  const at = formatAddress(listener.address);
  log.info({ listen: at, io: listener.io }, `serving on UDP ${at}, sockets by ${listener.io}`);

  await aborted(signal);
  forwards.stopListening();
  log.info({}, "stopping: no new connections");
  await Promise.all([...forwards.sessions].map((session) => session.drained(options.drain * 1000)));
  await listener.close({ timeoutMs: 1000 });
  stopWatching();
  log.info({}, "stopped");
}
