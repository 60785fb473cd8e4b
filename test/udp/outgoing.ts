import type { Address } from "../../src/transport/address.ts";
import type { EcnCodepoint, Transmit } from "../../src/transport/endpoint.ts";

/** A transmit to be filled in. */
export class Outgoing implements Transmit {
  readonly buffer = new Uint8Array(65_536);
  length = 0;
  segmentBytes = 0;
  destination: Address | null = null;
  source: Address | null = null;
  ecn: EcnCodepoint = 0;
}
