/** Completion for bash, from 4 on, with or without the package bash-completion. */
import type { CompletedCommand, CompletedValue } from "./completed-commands.ts";

export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const lines = [
    "# bash completion of bats-proxy; made by `bats-proxy completion bash`.",
    "_bats_proxy() {",
    `  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path="" word i`,
    "  # Bash splits --option=value at the equals sign.",
    "  if [[ $cur == = ]]; then cur=",
    `  elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi`,
    "  for ((i = 1; i < COMP_CWORD; i++)); do",
    `    word=\${COMP_WORDS[i]}`,
    '    case "$path $word" in',
    ...commands
      .filter(({ path }) => path.length > 0)
      .map(({ path }) => `      ${quoted(`${path.slice(0, -1).join("/")} ${path.at(-1)}`)}) path=${path.join("/")} ;;`),
    "    esac",
    "  done",
    '  case "$path $prev" in',
    ...commands.flatMap(({ path, options }) =>
      options.flatMap(({ flags, value }) =>
        value === null
          ? []
          : `    ${flags.map((flag) => quoted(`${path.join("/")} ${flag}`)).join(" | ")}) ${answer(value)}; return ;;`,
      ),
    ),
    "  esac",
    '  case "$path" in',
    ...commands.map((command) => {
      const words = command.subcommands.map(({ name }) => name);
      for (const { choices } of command.arguments) words.push(...choices);
      const flags = command.options.flatMap((option) => option.flags);
      const place = command.arguments.find(({ kind }) => kind !== "text");
      const fallback =
        place === undefined
          ? "; fi"
          : `; else COMPREPLY+=($(compgen ${actionOf(place)} -- "$cur")); compopt -o filenames 2>/dev/null; fi`;
      return `    ${quoted(command.path.join("/"))}) COMPREPLY=($(compgen -W ${quoted(words.join(" "))} -- "$cur")); if [[ $cur == -* ]]; then COMPREPLY+=($(compgen -W ${quoted(flags.join(" "))} -- "$cur"))${fallback} ;;`;
    }),
    "  esac",
    "}",
    "complete -F _bats_proxy bats-proxy",
  ];
  return `${lines.join("\n")}\n`;
}

function answer({ choices, kind }: CompletedValue): string {
  if (choices.length > 0) return `COMPREPLY=($(compgen -W ${quoted(choices.join(" "))} -- "$cur"))`;
  if (kind === "text") return "COMPREPLY=()";
  return `COMPREPLY=($(compgen ${actionOf({ kind })} -- "$cur")); compopt -o filenames 2>/dev/null`;
}

function actionOf({ kind }: Pick<CompletedValue, "kind">): string {
  return kind === "directory" ? "-d" : "-f";
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
