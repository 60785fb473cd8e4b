/** Options that are each good by themselves and do not go together. Not how a single value is read: that is its option's parser. */
import type { Command } from "commander";
import { EXIT, UserError } from "./user-error.ts";

export interface OptionFault {
  /** The long option, without dashes; null when it is none in particular. */
  readonly key: string | null;
  readonly message: string;
}

/** All that is wrong, one line each. */
export class OptionFaultsError extends UserError {
  readonly faults: readonly OptionFault[];

  constructor(faults: readonly OptionFault[]) {
    super(EXIT.usage, faults.map(({ key, message }) => (key === null ? message : `--${key}: ${message}`)).join("\n"));
    this.faults = faults;
  }
}

/** Has `faultsOf` look at the options whenever the command's action, whichever that is, is about to run. */
export function checkOptions<T>(command: Command, faultsOf: (options: T) => OptionFault[]): Command {
  return command.hook("preAction", () => {
    const faults = faultsOf(command.opts() as T);
    if (faults.length > 0) throw new OptionFaultsError(faults);
  });
}
