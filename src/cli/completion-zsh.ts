/** Completion for zsh, by its `_arguments`: one function a command. */
import type { CompletedCommand, CompletedOption, CompletedValue } from "./completed-commands.ts";

export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const lines = ["#compdef bats-proxy", "# zsh completion of bats-proxy; made by `bats-proxy completion zsh`.", ""];
  for (const command of commands) {
    lines.push(`${functionOf(command.path)}() {`);
    const specs = command.options.map(optionSpec);
    if (command.subcommands.length > 0) {
      const names = command.subcommands.map(({ name, description }) => quoted(`${name}:${escaped(description)}`));
      lines.push("  local state", "  local -a commands", `  commands=(${names.join(" ")})`);
      lines.push(`  _arguments -C ${[...specs, "'1: :->command'", "'*:: :->rest'"].join(" \\\n    ")}`);
      lines.push(
        "  case $state in",
        "    command) _describe command commands ;;",
        "    rest)",
        "      case $words[1] in",
      );
      for (const { name } of command.subcommands)
        lines.push(`        ${name}) ${functionOf([...command.path, name])} ;;`);
      lines.push("      esac ;;", "  esac");
    } else {
      const operands = command.arguments.map((value, i) =>
        quoted(`${value.variadic ? "*" : i + 1}:${escaped(value.name)}:${actionOf(value)}`),
      );
      lines.push(`  _arguments ${[...specs, ...operands].join(" \\\n    ")}`);
    }
    lines.push("}", "");
  }
  lines.push('if [[ $funcstack[1] == _bats-proxy ]]; then _bats_proxy "$@"; else compdef _bats_proxy bats-proxy; fi');
  return `${lines.join("\n")}\n`;
}

function functionOf(path: readonly string[]): string {
  return ["_bats_proxy", ...path].join("_").replaceAll("-", "_");
}

/** A leading star: an option may stand again. */
function optionSpec({ flags, description, value }: CompletedOption): string {
  const text = `[${escaped(description).replace(/[[\]]/g, "\\$&")}]`;
  const argument = value === null ? "" : `:${escaped(value.name)}:${actionOf(value)}`;
  return flags
    .map((flag) => quoted(`*${flag}${value !== null && flag.startsWith("--") ? "=" : ""}${text}${argument}`))
    .join(" ");
}

function actionOf({ choices, kind }: CompletedValue): string {
  if (choices.length > 0) return `(${choices.join(" ")})`;
  return kind === "text" ? " " : kind === "directory" ? "_files -/" : "_files";
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll(":", "\\:");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
