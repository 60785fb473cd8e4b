/** The other process of `endpoint.ts`: takes a session, reads its streams, and says at the end of each what that cost. */
import { type CredentialSources, listen } from "bats-transport";

process.once("message", async ({ io, credentials }: { io: "dgram" | "native"; credentials: CredentialSources }) => {
  const listener = await listen({ listen: "127.0.0.1:0", io, ...credentials });
  listener.on("session", (session) => {
    session.on("stream", (stream) => {
      const cpu = process.cpuUsage();
      let bytes = 0;
      stream.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      stream.on("end", () => {
        const { user, system } = process.cpuUsage(cpu);
        process.send?.({ bytes, cpuUs: user + system, packets: session.stats().receivedPackets });
        stream.end();
      });
    });
  });
  process.send?.({ port: listener.address.port });
});
