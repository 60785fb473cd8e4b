/** Addresses that users of the API give: read, and looked up. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Address } from "../transport/address.ts";
import { AddressSyntaxError, type HostPort } from "../transport/host-port.ts";
import { BatsError } from "./errors.ts";

/** What `parse` makes of `text`; `what` names it in errors. */
export function readAddress(what: string, text: string, parse: (text: string) => HostPort): HostPort {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof AddressSyntaxError)) throw error;
    throw new BatsError("ERR_BATS_ARGUMENT", `${what} is ${error.message}`);
  }
}

/** Where a host is now: the first address that the system names. */
export async function resolveHost(hostPort: HostPort): Promise<Address> {
  return (await addressesOf(hostPort))[0];
}

/** Notes are forgotten after this long: one outage must not send later sessions to the second choice for ever. */
const NOTE_MS = 300_000;

interface Note {
  ip: string;
  answers: boolean;
  atMs: number;
}

/** By "HOST:PORT", of servers of which an address gave no link: the last such, or the last that did since. */
const noted = new Map<string, Note>();

/** Where a new session begins: at the first address that the system names, or the one after that which gave no link last. */
export async function resolveServer(server: HostPort): Promise<Address> {
  const addresses = await addressesOf(server);
  const last = noteOf(server);
  const at = addresses.findLastIndex(({ ip }) => ip === last?.ip);
  return addresses[(last?.answers === true ? Math.max(at, 0) : at + 1) % addresses.length];
}

/** An address of a server gives a link, or does not. Where all did of late, the system's order counts on. */
export function noteAnswer(server: HostPort, { ip }: Address, answers: boolean): void {
  if (!answers || noteOf(server) !== undefined) noted.set(keyOf(server), { ip, answers, atMs: performance.now() });
}

function noteOf(server: HostPort): Note | undefined {
  const note = noted.get(keyOf(server));
  return note !== undefined && performance.now() - note.atMs < NOTE_MS ? note : undefined;
}

function keyOf({ host, port }: HostPort): string {
  return `${host}:${port}`;
}

/** All addresses that the system names, in its order. */
export async function addressesOf({ host, port }: HostPort): Promise<Address[]> {
  if (isIP(host) !== 0) return [{ ip: host, port }];
  try {
    const addresses = await lookup(host, { verbatim: true, all: true });
    return addresses.map(({ address }) => ({ ip: address, port }));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new BatsError(
      "ERR_BATS_LOOKUP",
      `cannot find the address of ${host} (${code}): is the name right, is there a network?`,
      {
        cause: error,
      },
    );
  }
}
