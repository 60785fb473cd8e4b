/**
 * Records what today's version puts on the wire: `npx tsx test/golden/make.ts NAME` writes test/golden/NAME/. A recording is never made anew
 * for a version that was released: docs/wire-format.md has the rule.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type Conversation, record } from "./conversation.ts";
import { bytesOf, FORMATS, hex } from "./formats.ts";
import { readFlights, recordHandshake } from "./handshake.ts";
import type { Recorded } from "./recorded.ts";
import { SAMPLES } from "./samples.ts";

const [name] = process.argv.slice(2);
if (name === undefined || !/^[\w.-]+$/.test(name))
  throw new Error("say which version is recorded: npx tsx test/golden/make.ts v2");
const folder = new URL(`./${name}/`, import.meta.url);
if (existsSync(folder)) throw new Error(`${name} is recorded already, and stays as it is`);

const samples: Recorded["samples"] = SAMPLES.map(({ format, name: what, meaning, hex: given }) => {
  const bytes = given === undefined ? FORMATS[format].write!(meaning) : bytesOf(given);
  return { format, name: what, hex: hex(bytes), meaning: FORMATS[format].read(bytes) };
});
const conversations: Conversation[] = [record(true), record(false)];
const flights = await recordHandshake();
mkdirSync(folder);
for (const [file, content] of Object.entries({
  samples,
  conversations,
  handshake: { flights, meaning: readFlights(flights) },
})) {
  writeFileSync(new URL(`${file}.json`, folder), `${JSON.stringify(content, null, 1)}\n`);
}
process.exit(0);
