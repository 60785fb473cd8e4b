/**
 * What a packet of a TUN device costs besides the system call: cutting a train of 64 KiB into packets with checksums, and
 * putting packets together. Needs no device and no privilege.
 */
import { workMemory } from "../src/tun/byte-work.ts";
import { COALESCER_BYTES, Coalescer } from "../src/tun/coalescer.ts";
import { Segmenter } from "../src/tun/segmenter.ts";
import { median, type Options, type Report } from "./harness.ts";

const SEGMENT_BYTES = 1360;
const SEGMENTS = 48;
const HEADER_BYTES = 40;
const VIRTIO_BYTES = 10;

/** A train as the kernel hands it over: virtio header, IPv4, TCP, data. */
function train(): Uint8Array {
  const bytes = new Uint8Array(VIRTIO_BYTES + HEADER_BYTES + SEGMENTS * SEGMENT_BYTES).map((_, i) => i * 31);
  const view = new DataView(bytes.buffer);
  bytes.set([1, 1]);
  view.setUint16(2, HEADER_BYTES, true);
  view.setUint16(4, SEGMENT_BYTES, true);
  view.setUint16(6, 20, true);
  view.setUint16(8, 16, true);
  bytes.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], VIRTIO_BYTES);
  view.setUint16(VIRTIO_BYTES + 2, bytes.length - VIRTIO_BYTES);
  bytes.set([4, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0], VIRTIO_BYTES + 20);
  return bytes;
}

function microsecondsAPacket(run: () => void, rounds: number): number {
  const samples: number[] = [];
  for (let round = -rounds / 4; round < rounds; round++) {
    const start = performance.now();
    run();
    if (round >= 0) samples.push((1000 * (performance.now() - start)) / SEGMENTS);
  }
  return median(samples);
}

export function benchTun({ quick }: Options): Report {
  const rounds = quick ? 400 : 4000;
  const whole = train();
  const input = workMemory(whole.length);
  const memory = new Uint8Array(input.buffer, 0, whole.length);
  const segmenter = new Segmenter(memory, input.work);
  const packets: Uint8Array[] = [];
  memory.set(whole);
  segmenter.begin(0, memory.length);
  while (segmenter.next()) packets.push(memory.slice(segmenter.start, segmenter.end));
  const cut = microsecondsAPacket(() => {
    memory.set(whole);
    segmenter.begin(0, memory.length);
    while (segmenter.next());
  }, rounds);
  const output = workMemory(COALESCER_BYTES);
  const coalescer = new Coalescer(new Uint8Array(output.buffer), () => {}, output.work);
  const join = microsecondsAPacket(() => {
    for (const packet of packets) coalescer.add(packet);
    coalescer.flush();
  }, rounds);
  const unit = "us a packet";
  return {
    title: "TUN devices, TCP packets of 1400 bytes in trains of 64 KiB",
    rows: [
      { name: "cut a train into packets, with checksums", value: cut, unit },
      { name: "put packets together, checksums verified", value: join, unit },
    ],
    goals: [
      { what: "cut", measured: cut, wanted: 1, atMost: true, speed: true },
      { what: "put together", measured: join, wanted: 1, atMost: true, speed: true },
    ],
  };
}
