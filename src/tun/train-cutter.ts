/** Cuts trains into packets with their checksums, in memory of its own: where neither a kernel nor a device does it. */
import { workMemory } from "./byte-work.ts";
import { IpPacket, LARGEST_PACKET } from "./ip-packet.ts";
import { Segmenter } from "./segmenter.ts";
import { trainHeader } from "./tcp-train.ts";
import { VIRTIO_HEADER_BYTES, writeTrainHeader } from "./virtio-header.ts";

export class TrainCutter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #segmenter: Segmenter;
  readonly #ip = new IpPacket();

  constructor() {
    const { buffer, work } = workMemory(VIRTIO_HEADER_BYTES + LARGEST_PACKET);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#segmenter = new Segmenter(this.#bytes, work);
  }

  /**
   * Calls `take` with each packet of a train, for the time of the call; `follows` is false for the first. False: it is no train, and nothing
   * was done.
   */
  cut(train: Uint8Array, segmentBytes: number, take: (packet: Uint8Array, follows: boolean) => void): boolean {
    const ip = this.#ip;
    if (train.length > LARGEST_PACKET || !ip.parse(train) || ip.totalBytes !== train.length) return false;
    const headerBytes = trainHeader(train, ip, segmentBytes);
    if (headerBytes === 0) return false;
    const segmenter = this.#segmenter;
    writeTrainHeader(this.#view, 0, ip.version, ip.headerBytes, headerBytes, segmentBytes);
    this.#bytes.set(train, VIRTIO_HEADER_BYTES);
    if (!segmenter.begin(0, VIRTIO_HEADER_BYTES + train.length)) return false;
    for (let i = 0; segmenter.next(); i++) take(this.#bytes.subarray(segmenter.start, segmenter.end), i > 0);
    return true;
  }
}
