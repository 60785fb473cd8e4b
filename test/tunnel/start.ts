/** The built command in a namespace, for the time of a test. */
import { onTestFinished } from "vitest";
import { Command } from "../cli/command.ts";
import type { Namespace } from "../netns.ts";

/** `program`: what runs instead of Node with the command. */
export function start(namespace: Namespace, args: readonly string[], program?: readonly string[]): Command {
  const command = new Command(args, undefined, namespace.name, program);
  onTestFinished(async () => {
    await command.kill();
  });
  return command;
}
