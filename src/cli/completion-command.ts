/** `bats-proxy completion`: a script that lets a shell complete the command line. */
import { Argument, Command } from "commander";
import { type CompletedCommand, completedCommands } from "./completed-commands.ts";
import { bashCompletion } from "./completion-bash.ts";
import { fishCompletion } from "./completion-fish.ts";
import { zshCompletion } from "./completion-zsh.ts";
import { addHelp } from "./help.ts";

const SHELLS: Record<string, (commands: readonly CompletedCommand[]) => string> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** `program` is asked for when the command runs: it has this one among its own. */
export function createCompletionCommand(program: () => Command): Command {
  const command = new Command("completion")
    .description("print a script that completes this command in a shell")
    .addArgument(new Argument("<shell>", "which shell").choices(Object.keys(SHELLS)))
    .action((shell: string) => {
      process.stdout.write(SHELLS[shell](completedCommands(program())));
    });
  return addHelp(command, {
    examples: [
      {
        what: "bash, for this user",
        shell: "bats-proxy completion bash > ~/.local/share/bash-completion/completions/bats-proxy",
      },
      { what: "zsh, for all", shell: "bats-proxy completion zsh > /usr/local/share/zsh/site-functions/_bats-proxy" },
      { what: "fish, for this user", shell: "bats-proxy completion fish > ~/.config/fish/completions/bats-proxy.fish" },
    ],
  });
}
