/** What a command that listens says where it cannot: which of its options cannot be had, and why. */
import { BatsError } from "../api/errors.ts";
import { EXIT, UserError } from "./user-error.ts";

export function listenFailure(options: { listen?: string; listenTls?: string }, error: Error): UserError {
  const tls = error instanceof BatsError && error.option === "listenTls";
  const place = tls ? `--listen-tls ${options.listenTls}` : `--listen ${options.listen}`;
  return new UserError(EXIT.cannotStart, `${place}: ${error.message}`);
}
