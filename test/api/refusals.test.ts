/** What a client hears that a server does not accept: a session that never was must not look like one. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Credentials, connect } from "../../src/index.ts";
import { Authority, CLIENT_AUTH } from "../tls/certificates.ts";
import { Relay } from "./relay.ts";
import { closeLater, dial, listener, serverCredentials } from "./support.ts";

const foreign = await Authority.root("foreign CA");
const foreignCertificate = await foreign.issue("CN=edge-1", { usage: [CLIENT_AUTH] });
/** Trusts the server, which does not trust it. */
const refused = new Credentials({
  ca: serverCredentials.current.options.ca as string[],
  cert: foreignCertificate.chain,
  key: foreignCertificate.key,
});
const inWords = {
  code: "ERR_BATS_HANDSHAKE",
  reason: "certificate",
  message: expect.stringContaining("was not issued by a CA that the server trusts"),
};

describe("a client that the server refuses", () => {
  it("gets no session but the server's words", async () => {
    const { address } = await listener();
    const attempt = connect(`127.0.0.1:${address.port}`, { credentials: refused });
    await expect(attempt).rejects.toMatchObject(inWords);
  });

  it("hears them through losses, too", async () => {
    const { address } = await listener();
    const attempts = [1, 2, 3, 4, 5, 6].map(async (seed) => {
      const relay = closeLater(await Relay.open(address.port, { loss: 0.3, delayMs: 20, seed }));
      const attempt = connect(`127.0.0.1:${relay.port}`, { credentials: refused });
      await expect(attempt, `seed ${seed}`).rejects.toMatchObject(inWords);
    });
    await Promise.all(attempts);
  });

  it("gets no session even when nothing more of the server arrives", async () => {
    const { address } = await listener();
    const relay = closeLater(await Relay.open(address.port, { delayMs: 200 }));
    const attempt = connect(`127.0.0.1:${relay.port}`, { credentials: refused, connectTimeoutMs: 2000 });
    // The server's flight has passed by now, and the client's answer to it is on its way.
    setTimeout(() => {
      relay.muted = true;
    }, 500);
    await expect(attempt).rejects.toMatchObject({ code: "ERR_BATS_CONNECT_TIMEOUT" });
  });

  it("is never told that there are keys before the refusal, which might come apart", async () => {
    const listening = await listener();
    listening.refuseNew("closing time");
    const relay = closeLater(await Relay.open(listening.address.port, { spacingMs: 50 }));
    const attempt = dial(relay.port);
    await expect(attempt).rejects.toMatchObject({
      code: "ERR_BATS_PEER_CLOSED",
      message: expect.stringContaining("closing time"),
    });
  });

  it("gets none either when the server's words were lost in an outage and it forgot the client since", async () => {
    const { address } = await listener();
    const relay = closeLater(await Relay.open(address.port, { delayMs: 200 }));
    const attempt = connect(`127.0.0.1:${relay.port}`, { credentials: refused });
    const failure = expect(attempt).rejects.toMatchObject({ code: "ERR_BATS_HANDSHAKE" });
    await sleep(500);
    relay.muted = true;
    await sleep(4000);
    relay.muted = false;
    await failure;
  });
});
