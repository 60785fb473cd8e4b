/** Time to seal and to open a packet of 1350 bytes, for each AEAD and each implementation that works here. */
import { AEAD_IV_BYTES, AEAD_KEY_BYTES, AEAD_NAMES, aeadImplementations, preferredAeads } from "../src/tls/aead.ts";
import { type Contender, type Goal, type Options, type Report, type Row, throughput } from "./harness.ts";

const PACKET_BYTES = 1350;
const HEADER_BYTES = 11;
const TAG_BYTES = 16;
/** As many as a burst has, in one buffer. */
const PACKETS = 32;

export function benchAead(options: Options): Report {
  const contenders: Contender[] = [];
  const pairs: { name: string; ours: string; theirs: string }[] = [];
  for (const aead of AEAD_NAMES) {
    const key = new Uint8Array(AEAD_KEY_BYTES[aead]).fill(1);
    const iv = new Uint8Array(AEAD_IV_BYTES).fill(2);
    for (const implementation of aeadImplementations(aead)) {
      const sealer = implementation.sealer(aead, key, iv);
      const opener = implementation.opener(aead, key, iv);
      const burst = new Uint8Array(PACKETS * PACKET_BYTES);
      const sealed = new Uint8Array(PACKET_BYTES);
      sealer.seal(sealed, 0, HEADER_BYTES, PACKET_BYTES - TAG_BYTES, 7);
      const received = new Uint8Array(PACKETS * PACKET_BYTES);
      const packets = Array.from({ length: PACKETS }, (_, i) =>
        received.subarray(i * PACKET_BYTES, (i + 1) * PACKET_BYTES),
      );
      let number = 0;
      const name = `${aead}, ${implementation.name}`;
      contenders.push(
        {
          name: `${name}: seal`,
          bytes: PACKET_BYTES,
          run: () => {
            const start = (number % PACKETS) * PACKET_BYTES;
            sealer.seal(burst, start, HEADER_BYTES, start + PACKET_BYTES - TAG_BYTES, number++);
          },
        },
        {
          name: `${name}: open`,
          bytes: PACKET_BYTES,
          run: () => {
            const packet = packets[number++ % PACKETS];
            packet.set(sealed);
            if (!opener.open(packet, HEADER_BYTES, 7)) throw new Error("a genuine packet did not open");
          },
        },
      );
      if (implementation.name === "node") continue;
      for (const what of ["seal", "open"]) {
        pairs.push({ name: `${name}: ${what}`, ours: `${name}: ${what}`, theirs: `${aead}, node: ${what}` });
      }
    }
  }
  const rows = throughput(contenders, options).map(toMicroseconds);
  const microseconds = new Map(rows.map(({ name, value }) => [name, value]));
  const goals = pairs.map(
    ({ name, ours, theirs }): Goal => ({
      what: `${name}, time of node:crypto over its own`,
      measured: microseconds.get(theirs)! / microseconds.get(ours)!,
      wanted: 1,
      speed: true,
    }),
  );
  return { title: `AEAD, packets of ${PACKET_BYTES} bytes; preferred here: ${preferredAeads()[0]}`, rows, goals };
}

function toMicroseconds({ name, value, low, high }: Row): Row {
  return { name, value: PACKET_BYTES / value, unit: "us", low: PACKET_BYTES / high!, high: PACKET_BYTES / low! };
}
