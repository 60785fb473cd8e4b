import { describe, expect, it } from "vitest";
import type { Stream } from "../../src/index.ts";
import { drain, pair, pour } from "./support.ts";

describe("a stream over real sockets", () => {
  it("carries 50 MB there and back, whole", async () => {
    const { client, server } = await pair();
    server.on("stream", (stream: Stream) => stream.pipe(stream));
    const stream = client.openStream();
    const bytes = 50_000_000;
    const [sent, back] = await Promise.all([pour(stream, bytes), drain(stream)]);
    expect(back).toEqual({ bytes, sha1: sent });
  });
});
