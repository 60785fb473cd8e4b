/** docs/reference.md: every command, option and example in Markdown. */
import type { DescribedCommand, DescribedValue } from "./definitions.ts";

export function referencePage(commands: readonly DescribedCommand[]): string {
  const sections = commands.map((command) => {
    const { name, description, usage, help } = command;
    return [
      `## ${name}`,
      description,
      `    ${name} ${usage}`,
      ...table("argument", command.arguments),
      ...table("option", command.options),
      ...(help.notes === undefined ? [] : [plain(help.notes)]),
      ...help.examples.flatMap(({ what, shell }) => [`${plain(what)}:`, shell.replace(/^/gm, "    ")]),
    ].join("\n\n");
  });
  const index = commands.map(
    ({ name, description }) => `- [\`${name}\`](#${name.replaceAll(" ", "-")}): ${description}`,
  );
  const head = `# bats-proxy: reference

Made by \`npm run docs\` from what parses the command line; not edited. How to use it: the [user's guide](bats-proxy.md). The same as a
manual page: \`man bats-proxy\` ([source](man/bats-proxy.1)). Completion: [\`bats-proxy completion\`](#bats-proxy-completion).`;
  return `${[head, index.join("\n"), ...sections].join("\n\n")}\n`;
}

function table(heading: string, values: readonly DescribedValue[]): string[] {
  if (values.length === 0) return [];
  const rows = values.map(({ term, text }) => `| \`${term.replaceAll("|", "\\|")}\` | ${plain(text)} |`);
  return [[`| ${heading} | |`, "|---|---|", ...rows].join("\n")];
}

/** Text that Markdown would take for more than it is. */
function plain(text: string): string {
  return text.replace(/[<>*_|]/g, "\\$&").replaceAll("\n", " ");
}
