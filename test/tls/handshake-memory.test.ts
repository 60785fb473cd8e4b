import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { Credentials } from "../../src/tls/index.ts";
import { collectGarbage } from "../collect-garbage.ts";
import { Authority, CLIENT_AUTH, type Issued, SERVER_AUTH } from "./certificates.ts";
import { destroy, shake } from "./pair.ts";

const WARM_UP = 50;
const HANDSHAKES = 100;
/** A certificate that OpenSSL read takes some 5 KiB. */
const MOST_BYTES_EACH = 1500;

const { glibcVersionRuntime } = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header;

/** From 2.33 on. */
const hasMallinfo2 = Number(glibcVersionRuntime?.split(".")[1]) >= 33;

/** Bytes that malloc has given out and not got back, of all threads. */
async function mallocedBytes(): Promise<number> {
  const { default: koffi } = await import("koffi");
  const names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split(" ");
  const type = koffi.struct(Object.fromEntries(names.map((name) => [name, "size_t"])));
  const result = koffi.load("libc.so.6").func("mallinfo2", type, [])() as Record<string, number | bigint>;
  return Number(result["uordblks"]);
}

// What Node and OpenSSL hold stands in no heap snapshot.
test.skipIf(!hasMallinfo2)("handshakes leave nothing of the peers' chains behind", async () => {
  const root = await Authority.root("root");
  const issuer = await (await root.intermediate("upper")).intermediate("lower");
  const of = ({ chain, key }: Issued) => new Credentials({ cert: chain, key, ca: root.pem });
  const server = of(await issuer.issue("CN=cloud", { usage: [SERVER_AUTH], dns: ["cloud.example"] }));
  const client = of(await issuer.issue("CN=edge", { usage: [CLIENT_AUTH] }));
  const shakeOften = async (times: number) => {
    for (let i = 0; i < times; i++) {
      const pair = await shake({ client, server, resume: false });
      expect([pair.client.failure, pair.server.failure]).toEqual([null, null]);
      destroy(pair);
    }
    // What is freed by the first may free more.
    for (let i = 0; i < 4; i++) {
      collectGarbage();
      await delay(20);
    }
  };
  await shakeOften(WARM_UP);
  const before = await mallocedBytes();
  await shakeOften(HANDSHAKES);
  expect(((await mallocedBytes()) - before) / HANDSHAKES).toBeLessThan(MOST_BYTES_EACH);
});
