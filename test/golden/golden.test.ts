/** Today's version talks to those that were recorded: docs/wire-format.md, "Compatibility". */
import { describe, expect, test } from "vitest";
import { replay } from "./conversation.ts";
import { bytesOf, FORMATS, hex } from "./formats.ts";
import { answerOf, readFlights } from "./handshake.ts";
import { RECORDED } from "./recorded.ts";
import { SAMPLES } from "./samples.ts";

describe.each(RECORDED)("what version $version says", ({ samples, conversations, handshake }) => {
  test.each(samples)("$format: $name, is read with the same meaning", ({ format, hex: recorded, meaning }) => {
    expect(JSON.parse(JSON.stringify(FORMATS[format].read(bytesOf(recorded))))).toEqual(meaning);
  });

  // Those recorded as bytes show what readers must take though today's encoder would not write it.
  const foreign = new Set(
    SAMPLES.flatMap((sample) => (sample.hex === undefined ? [] : `${sample.format} ${sample.name}`)),
  );
  const own = samples.filter(
    ({ format, name }) => FORMATS[format].write !== undefined && !foreign.has(`${format} ${name}`),
  );
  test.each(own)("$format: $name, is written with the same bytes", ({ format, hex: recorded, meaning }) => {
    expect(hex(FORMATS[format].write!(meaning))).toBe(recorded);
  });

  test.each(conversations)("in a session is heard by today's other end (client: $isClient)", (conversation) => {
    expect(replay(conversation)).toEqual(conversation.heard);
    expect(Object.values(conversation.heard.streams)).toHaveLength(3);
    expect(conversation.heard.messages).toHaveLength(4);
    expect(conversation.heard.datagrams).toHaveLength(2);
  });

  test("in a handshake is opened and read", () => {
    expect(readFlights(handshake.flights)).toEqual(handshake.meaning);
    expect(handshake.meaning.client.tls).toMatch(/^1603.{6}01$/);
    expect(handshake.meaning.server.tls).toMatch(/^1603.{6}02$/);
  });

  test("in a client's first flight is answered by today's server", async () => {
    const answer = await answerOf(handshake.flights[0]);
    // A handshake record with a ServerHello, no alert.
    expect(answer.tls).toMatch(/^160303....02$/);
    expect(answer.tlsBytes).toBeGreaterThan(500);
    expect(answer.parameters).toEqual(handshake.meaning.server.parameters);
  });
});

test("every format of the wire was recorded", () => {
  const formats = RECORDED.flatMap(({ samples }) => samples.map(({ format }) => format));
  expect([...new Set(formats)].sort()).toEqual(Object.keys(FORMATS).sort());
});
