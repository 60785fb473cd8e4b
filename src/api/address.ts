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

/** By host, the last of its addresses that gave no answer. */
const silent = new Map<string, string>();

/** Where a host is now: the first address that the system names, or the one after that which gave no answer last. */
export async function resolveHost({ host, port }: HostPort): Promise<Address> {
  if (isIP(host) !== 0) return { ip: host, port };
  try {
    const addresses = await lookup(host, { verbatim: true, all: true });
    const passed = addresses.findIndex(({ address }) => address === silent.get(host));
    return { ip: addresses[(passed + 1) % addresses.length].address, port };
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

/** An address that `resolveHost` gave does not answer: a name that has several is looked up to the next one. */
export function noteSilence({ host }: HostPort, { ip }: Address): void {
  silent.set(host, ip);
}
