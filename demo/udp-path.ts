/** A bad path for one UDP client, on the loopback address: where there can be no namespaces. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { PathClock, PathDirection, type PathOptions } from "./path-emulator.ts";

/** What IP and UDP add to a datagram: the bottleneck counts it. */
const HEADER_BYTES = 28;

export interface UdpPath {
  readonly port: number;
  close(): void;
}

/** Listens at a free port; whoever sends there is joined to `targetPort`. */
export async function openUdpPath(targetPort: number, options: PathOptions): Promise<UdpPath> {
  const near = createSocket({ type: "udp4", recvBufferSize: 4 << 20 });
  const far = createSocket({ type: "udp4", recvBufferSize: 4 << 20 });
  let clientPort = 0;
  const forward = new PathDirection(options, (packet) => far.send(payloadOf(packet), targetPort, "127.0.0.1"));
  const backward = new PathDirection(options, (packet) => near.send(payloadOf(packet), clientPort, "127.0.0.1"));
  const clock = new PathClock([forward, backward], () => {});
  near.on("message", (datagram, { port }) => {
    clientPort = port;
    forward.push(packetOf(datagram), performance.now());
    clock.wake();
  });
  far.on("message", (datagram) => {
    backward.push(packetOf(datagram), performance.now());
    clock.wake();
  });
  for (const socket of [near, far]) {
    socket.on("error", () => {});
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
  }
  return {
    port: near.address().port,
    close() {
      clock.close();
      near.close();
      far.close();
    },
  };
}

function packetOf(datagram: Uint8Array): Uint8Array {
  const packet = new Uint8Array(HEADER_BYTES + datagram.length);
  packet.set(datagram, HEADER_BYTES);
  return packet;
}

function payloadOf(packet: Uint8Array): Uint8Array {
  return packet.subarray(HEADER_BYTES);
}
