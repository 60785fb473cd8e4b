/**
 * A program that opens a TUN device with the options given as JSON and sends each packet, or with `trains` each train whole, back with its addresses exchanged, so that
 * whoever talks to any address behind the device talks to this very machine. Prints the device, "gone" or an error, and the
 * counters once its standard input ends.
 */
import { IpPacket, openTun, TunError, type TunOptions } from "../../src/tun/index.ts";

function print(what: unknown): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function exchange(bytes: Uint8Array, a: number, b: number, length: number): void {
  const first = bytes.slice(a, a + length);
  bytes.copyWithin(a, b, b + length);
  bytes.set(first, b);
}

try {
  const { trains = false, ...options } = JSON.parse(process.argv[2]) as TunOptions & { trains?: boolean };
  const tun = await openTun(options);
  const ip = new IpPacket();
  let longest = 0;
  let malformed = 0;
  let whole = 0;
  const turn = (packet: Uint8Array): void => {
    if (!ip.parse(packet)) malformed++;
    if (ip.version === 4) exchange(packet, 12, 16, 4);
    else exchange(packet, 8, 24, 16);
  };
  tun.onPacket = (packet) => {
    longest = Math.max(longest, packet.length);
    turn(packet);
    tun.write(packet);
  };
  tun.onTrain = (train, segmentBytes) => {
    if (!trains) return false;
    whole++;
    turn(train);
    return tun.writeTrain(train, segmentBytes);
  };
  tun.onBatchEnd = () => tun.flush();
  tun.onGone = ({ message }) => print({ gone: message });
  tun.start();
  const { name, mtu, created, offloads } = tun;
  print({ name, mtu, created, offloads });
  process.stdin.resume().on("end", async () => {
    await tun.close();
    print({ ...tun.counters, longest, malformed, whole });
  });
} catch (error) {
  if (!(error instanceof TunError)) throw error;
  print({ error: error.message, code: error.code });
}
