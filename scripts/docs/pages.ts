/** Where the pages that are made from the code stand, and what is in them. */
import { readFileSync } from "node:fs";
import { VERSION } from "../../src/cli/operations.ts";
import { describedCommands } from "./definitions.ts";
import { withExports } from "./exports.ts";
import { manualPage } from "./manual.ts";
import { metricsPage } from "./metrics.ts";
import { referencePage } from "./reference.ts";

export function generatedPages(): [path: URL, text: string][] {
  const commands = describedCommands();
  const docs = new URL("../../docs/", import.meta.url);
  const api = new URL("api.md", docs);
  return [
    [api, withExports(readFileSync(api, "utf8"))],
    [new URL("reference.md", docs), referencePage(commands)],
    [new URL("metrics.md", docs), metricsPage()],
    [new URL("man/bats-proxy.1", docs), manualPage(commands, VERSION)],
  ];
}
