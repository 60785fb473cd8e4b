/** The recordings of earlier versions, as test/golden/make.ts wrote them. */
import { readdirSync, readFileSync } from "node:fs";
import type { Conversation } from "./conversation.ts";
import type { Meaning } from "./formats.ts";
import type { Flight } from "./handshake.ts";

export interface Recorded {
  version: string;
  samples: { format: string; name: string; hex: string; meaning: Meaning }[];
  conversations: Conversation[];
  handshake: { flights: Flight[]; meaning: Meaning };
}

const here = new URL("./", import.meta.url);

export const RECORDED: readonly Recorded[] = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => {
    const read = (file: string) => JSON.parse(readFileSync(new URL(`${name}/${file}.json`, here), "utf8"));
    return {
      version: name,
      samples: read("samples"),
      conversations: read("conversations"),
      handshake: read("handshake"),
    };
  });
