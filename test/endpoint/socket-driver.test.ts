import { expect, it, onTestFinished } from "vitest";
import { SocketDriver } from "../../src/endpoint/socket-driver.ts";
import type { TransportEndpoint } from "../../src/endpoint/transport-endpoint.ts";
import type { Transmit } from "../../src/transport/endpoint.ts";
import type { UdpSocket } from "../../src/udp/index.ts";

it("gives a socket nothing while that would drop it, and tries one again that has room and does not say so", async () => {
  let sent = 0;
  const socket = {
    stalled: false,
    maxSegments: 1,
    start: () => {},
    send() {
      sent++;
      this.stalled = true;
      return false;
    },
    close: async () => {},
  };
  const endpoint = {
    progressWaits: false,
    progress: () => false,
    handleTimeout: () => {},
    nextTimeoutMs: () => Number.NEGATIVE_INFINITY,
    pollTransmit: (transmit: Transmit) => {
      transmit.length = 1000;
      return true;
    },
  };
  const driver = new SocketDriver(endpoint as unknown as TransportEndpoint, socket as unknown as UdpSocket);
  onTestFinished(() => driver.close());
  driver.wake();
  await expect.poll(() => sent).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(sent).toBe(1);
  socket.stalled = false;
  await expect.poll(() => sent).toBe(2);
});
