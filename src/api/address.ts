/** Addresses as people write them: "HOST:PORT", "[IPV6]:PORT", "PORT". And where hosts are. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Address } from "../transport/address.ts";
import { BatsError } from "./errors.ts";

export interface HostPort {
  /** A name or an IP address, without brackets; "" where none was said. */
  readonly host: string;
  readonly port: number;
}

/** Reads `text`; `what` names it in errors. `needsHost`: whether a port alone is not enough, and port 0 not allowed. */
export function parseHostPort(text: string, what: string, needsHost: boolean): HostPort {
  const wanted = needsHost ? '"HOST:PORT", IPv6 in brackets' : '"PORT", "HOST:PORT" or "[IPV6]:PORT"';
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  if (match === null || port > 65_535 || (needsHost && (host === "" || port === 0))) {
    throw new BatsError("ERR_BATS_ARGUMENT", `${what} is ${JSON.stringify(text)}, wanted ${wanted}`);
  }
  if (match[1] !== undefined && isIP(host) !== 6) {
    throw new BatsError(
      "ERR_BATS_ARGUMENT",
      `${what} has ${JSON.stringify(host)} in brackets, which is no IPv6 address`,
    );
  }
  return { host, port };
}

/** Where a host is now. The first address that the system names. */
export async function resolveHost({ host, port }: HostPort): Promise<Address> {
  if (isIP(host) !== 0) return { ip: host, port };
  try {
    const { address } = await lookup(host, { verbatim: true });
    return { ip: address, port };
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
