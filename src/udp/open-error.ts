/** Why a port could not be opened, in words that say what to do. Not errors of traffic: those are only counted. */
import { formatAddress } from "../transport/address.ts";

const REASONS: Record<string, string> = {
  EADDRINUSE: "another program uses that port: stop it, or choose another port (0 lets the system choose)",
  EACCES: "no permission: ports below 1024 need CAP_NET_BIND_SERVICE, choose one above",
  EPERM: "no permission: a security policy forbids it",
  EADDRNOTAVAIL: "no interface of this machine has that address: use one that `ip address` shows, or :: for all",
  EAFNOSUPPORT: "this machine has no IPv6, or no IPv4: use an address of the other family",
  EINVAL: "not an address that can be bound; a link-local one needs its interface, as in fe80::1%eth0",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
  ENFILE: "too many files are open on this machine",
};

/** A node-style error with `code`, its message in the form "cannot open UDP on ADDRESS: why and what to do (CODE)". */
export function openError(
  address: { readonly ip: string; readonly port: number },
  code: string,
  cause?: unknown,
  protocol: "UDP" | "TCP" = "UDP",
): NodeJS.ErrnoException {
  const reason = REASONS[code] ?? (cause instanceof Error ? cause.message : "the system refused");
  const error: NodeJS.ErrnoException = new Error(
    `cannot open ${protocol} on ${formatAddress(address)}: ${reason}${code === "" ? "" : ` (${code})`}`,
    { cause },
  );
  error.code = code;
  return error;
}
