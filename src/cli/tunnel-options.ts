/** Options of `server` and `client` for the IP tunnel, and what both do with them. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { SessionOptions } from "../api/session-options.ts";
import type { Log } from "../proxy/log.ts";
import { TunError } from "../tun/index.ts";
import { type Network, networkOf } from "../tun/network.ts";
import { TunnelHooks } from "../tunnel/hooks.ts";
import { parseTun, TunPort } from "../tunnel/tun-port.ts";
import { parseAddressOrNetwork } from "../tunnel/tunnel-rules.ts";
import type { OptionFault } from "./option-faults.ts";
import { readNumber, repeatable } from "./options.ts";
import { EXIT, UserError } from "./user-error.ts";

export interface TunnelOptions {
  tun?: { name: string; addresses: Network[] };
  tunMtu?: number;
  up?: string;
  down?: string;
}

export interface ClientTunnelOptions extends TunnelOptions {
  route: Network[];
}

export interface ServerTunnelOptions extends TunnelOptions {
  tunClientToClient?: boolean;
}

function addTunnelOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--tun <name=address/prefix,...>", "an interface for IP packets, with its addresses").argParser(
        readingTun(parseTun),
      ),
    )
    .addOption(
      new Option("--tun-mtu <bytes>", "its MTU (default: what the path carries in one packet)").argParser(
        readNumber(1280, 65_000),
      ),
    )
    .option("--up <command>", "run by the shell when the interface is there (a client: when it may be used)")
    .option("--down <command>", "run before it goes");
}

export function addServerTunnelOptions(command: Command): Command {
  return addTunnelOptions(command).option("--tun-client-to-client", "let clients reach each other");
}

export function addClientTunnelOptions(command: Command): Command {
  return addTunnelOptions(command).addOption(
    new Option("--route <network>", "a network behind this host for the server to route here (repeatable)")
      .argParser(repeatableTun((text) => networkOf(parseAddressOrNetwork(text))))
      .default([], "none"),
  );
}

/** Options that say nothing without an interface. */
export function tunnelFaults(options: Partial<ClientTunnelOptions & ServerTunnelOptions>): OptionFault[] {
  if (options.tun !== undefined) return [];
  const keys: OptionFault["key"][] = [];
  if ((options.route ?? []).length > 0) keys.push("route");
  if (options.tunMtu !== undefined) keys.push("tun-mtu");
  if (options.up !== undefined) keys.push("up");
  if (options.down !== undefined) keys.push("down");
  if (options.tunClientToClient === true) keys.push("tun-client-to-client");
  return keys.map((key) => ({ key, message: "there is no tunnel without --tun" }));
}

/** TCP inside waits for every loss: what a batch will lack, by all odds, leaves with it. */
const PROMPT_TARGET = 0.1;

/** One in so many sparse packets may need a second look at each end: a round trip is dear to who waits for an answer. */
const TARGET = 0.002;

/** Of repair ahead of losses, while the pipe is not full: datagrams of a steady flow come once, and what comes late is of no use to a call. */
const BUDGET = 0.4;

/** Of sessions that carry a tunnel. */
export function sessionOptions({ tun }: TunnelOptions): SessionOptions {
  return tun === undefined ? {} : { redundancy: { promptTarget: PROMPT_TARGET, target: TARGET, budget: BUDGET } };
}

/** Opens the interface, or says in words why not. What was set on it is taken back however the program ends, unless a signal kills it. */
export async function openPort({ tun, tunMtu }: TunnelOptions, log: Log): Promise<TunPort> {
  const { name, addresses } = tun!;
  const port = new TunPort({ name, addresses, mtu: tunMtu, log });
  await port.open().catch((error: Error) => {
    throw error instanceof TunError ? new UserError(EXIT.cannotStart, `--tun: ${error.message}`) : error;
  });
  process.once("exit", () => void port.close());
  const at = addresses.map(({ text }) => text).join(", ");
  log.info({ tun: port.name, addresses: at }, `${port.name}: an interface with ${at}`);
  return port;
}

/** For `--up` and `--down`. `signal`: aborted when the program is to end. */
export function tunnelHooks(
  options: TunnelOptions & { route?: Network[] },
  port: TunPort,
  log: Log,
  signal: AbortSignal,
): TunnelHooks {
  const texts = (networks: readonly Network[]) => networks.map(({ text }) => text);
  const facts = () => ({
    tun: port.name,
    addresses: texts(port.addresses),
    routes: texts(options.route ?? []),
    mtu: port.mtu,
  });
  return new TunnelHooks({ up: options.up, down: options.down, facts, log, signal });
}

function readingTun<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof TunError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

function repeatableTun<T>(parse: (text: string) => T): (text: string, before?: T[]) => T[] {
  return repeatable(readingTun(parse));
}
