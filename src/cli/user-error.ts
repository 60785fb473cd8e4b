/** What a command ends with when it cannot go on: one line for the user, and an exit code that scripts can go by. */

/** Documented in docs/bats-proxy.md. */
export const EXIT = {
  ok: 0,
  /** A port in use, a file that cannot be read or written. */
  cannotStart: 1,
  usage: 2,
  /** A certificate that is wrong, expired, or not accepted by the other end. */
  certificate: 3,
  /** No server answered, and the command was told not to wait. */
  unreachable: 4,
  /** Not all of a transfer is where it should be. */
  incomplete: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export class UserError extends Error {
  override readonly name = "UserError";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
