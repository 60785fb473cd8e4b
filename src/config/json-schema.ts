/** The JSON schema of configuration files (draft 2020-12), from the options of the commands. */
import type { Command } from "commander";
import { type Setting, settingsOf } from "./setting.ts";

export function configurationSchema(roles: ReadonlyMap<string, Command>): object {
  const sections = [...roles].map(([name, command]) => [name, sectionSchema(command)]);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Configuration of bats-proxy",
    type: "object",
    additionalProperties: false,
    minProperties: 1,
    patternProperties: { "^x-": { description: "For anchors; not read by itself." } },
    properties: Object.fromEntries(sections),
  };
}

function sectionSchema(command: Command): object {
  const settings = [...settingsOf(command).values()];
  return {
    description: command.description(),
    type: "object",
    additionalProperties: false,
    required: settings.filter(({ option }) => option.mandatory).map(({ key }) => key),
    properties: Object.fromEntries(settings.map((setting) => [setting.key, settingSchema(setting)])),
  };
}

function settingSchema(setting: Setting): object {
  const { option, kind, range } = setting;
  const { description, argChoices, defaultValue } = option;
  const isPlain = typeof defaultValue === "number" || typeof defaultValue === "string";
  // A default that reads otherwise than it is kept, such as a mode, is shown as it is written.
  const shown = option.defaultValueDescription ?? defaultValue;
  return {
    description: `${description[0].toUpperCase()}${description.slice(1)}.`,
    ...(kind === "switch" ? { type: "boolean" } : {}),
    ...(kind === "number" && range !== null ? { type: "number", minimum: range[0], maximum: range[1] } : {}),
    ...(kind === "text" && argChoices !== undefined ? { enum: argChoices } : {}),
    ...(kind === "text" && argChoices === undefined ? { type: ["string", "integer"] } : {}),
    ...(kind === "list" ? { type: ["string", "array"], items: { type: "string" } } : {}),
    ...(isPlain ? { default: shown } : {}),
  };
}
