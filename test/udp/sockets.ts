/** What the tests of UDP sockets share: sockets that close themselves, datagrams collected, transmits made. */
import { onTestFinished } from "vitest";
import type { Address } from "../../src/transport/address.ts";
import type { EcnCodepoint } from "../../src/transport/endpoint.ts";
import { openUdpSocket, type UdpIo, type UdpSocket, type UdpSocketOptions } from "../../src/udp/index.ts";
import { Outgoing } from "./outgoing.ts";

export interface Arrived {
  readonly bytes: Uint8Array;
  readonly source: Address;
  readonly destination: Address;
  readonly ecn: EcnCodepoint;
}

export interface Listening {
  readonly socket: UdpSocket;
  readonly arrived: Arrived[];
  /** Lengths of the batches. */
  readonly batches: number[];
}

export async function listening(io: UdpIo, options: Omit<UdpSocketOptions, "io"> = {}): Promise<Listening> {
  const socket = await openUdpSocket({ address: { ip: "127.0.0.1", port: 0 }, ...options, io });
  onTestFinished(() => socket.close());
  const arrived: Arrived[] = [];
  const batches: number[] = [];
  let inBatch = 0;
  socket.onDatagram = ({ bytes, source, destination, ecn }) => {
    inBatch++;
    arrived.push({ bytes: Uint8Array.from(bytes), source, destination, ecn });
  };
  socket.onBatchEnd = () => {
    batches.push(inBatch);
    inBatch = 0;
  };
  socket.start();
  return { socket, arrived, batches };
}

export function transmit(fields: Partial<Omit<Outgoing, "buffer">>, fill = 0): Outgoing {
  const made = Object.assign(new Outgoing(), fields);
  for (let i = 0; i < made.length; i++) made.buffer[i] = fill + i;
  return made;
}

/** Waits until `condition` holds; the test's own time limit ends a wait in vain. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
