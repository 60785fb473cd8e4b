/**
 * The link's own messages, which must arrive: records of both epochs' control streams, connection ids and address tokens among them.
 * How the streams get across is `control-stream.ts`, how records look `control-records.ts`.
 */
import {
  decodeNewId,
  encodeNewId,
  encodeRecord,
  encodeRetireId,
  RECORD_HANDSHAKE,
  RECORD_NEW_ID,
  RECORD_PARAMETERS,
  RECORD_RETIRE_ID,
  RECORD_TOKEN,
} from "./control-records.ts";
import type { FrameReader } from "./frames.ts";
import type { LinkCore } from "./link-core.ts";
import { EPOCH_HANDSHAKE } from "./loss-detection.ts";
import { MAX_TOKEN_BYTES } from "./packet-header.ts";
import type { PacketSpace } from "./packet-space.ts";
import { readVarint } from "./varint.ts";

/** Types from here on are later versions', and may stand in any epoch. */
const FIRST_UNKNOWN_RECORD = 0x40;

export class ControlChannel {
  /** The last token that the server gave; null when none came. */
  receivedToken: Uint8Array | null = null;
  readonly #core: LinkCore;
  readonly #onParameters: (body: Uint8Array) => void;
  /** The epoch whose bytes are being delivered. */
  #delivering: PacketSpace;

  constructor(core: LinkCore, onParameters: (body: Uint8Array) => void) {
    this.#core = core;
    this.#onParameters = onParameters;
    this.#delivering = core.dataSpace;
  }

  /** A CONTROL frame, which `reader` stands on. */
  onFrame(bytes: Uint8Array, reader: FrameReader, space: PacketSpace): void {
    const { number, batchSize, symbol, dataStart, dataEnd } = reader;
    this.#delivering = space;
    const data = bytes.subarray(dataStart, dataEnd);
    const verdict = space.receiver.receive(number, batchSize, symbol, data, this.#deliver);
    if (verdict !== "taken") this.#core.drops[verdict]++;
  }

  /** Gives the peer as many connection ids as it may have. */
  issueIds(): void {
    const { localIds, dataSpace, options } = this.#core;
    while (localIds.wanted > 0) {
      const id = options.connectionIds.issue();
      const sequence = localIds.issue(id);
      const record = encodeNewId(sequence, id, options.connectionIds.resetToken(id));
      if (dataSpace.sender.write(record)) continue;
      // The peer leaves so much unacknowledged that it will not hear of this one.
      localIds.retire(sequence);
      options.connectionIds.retire(id);
      return;
    }
  }

  /** Takes a fresh id of the peer's, if there is one, and says that the old one is used no more. */
  rotateId(): void {
    const { remoteIds, dataSpace } = this.#core;
    const retired = remoteIds.rotate();
    if (retired >= 0) dataSpace.sender.write(encodeRetireId(retired));
  }

  /** Gives the client a token for its next link. False when too much waits, or it is too early. */
  sendToken(token: Uint8Array): boolean {
    const { confirmed, dataSpace } = this.#core;
    return confirmed && dataSpace.sender.write(encodeRecord(RECORD_TOKEN, token));
  }

  readonly #deliver = (bytes: Uint8Array): void => {
    const core = this.#core;
    if (core.closing !== null) return;
    if (!this.#delivering.records.push(bytes, this.#onRecord)) core.protocolError("no control records", core.nowMs);
  };

  readonly #onRecord = (type: number, body: Uint8Array): void => {
    const core = this.#core;
    if (core.closing !== null) return;
    if (type === RECORD_HANDSHAKE) {
      core.options.handshake.receive(body);
      return;
    }
    if (this.#delivering.epoch === EPOCH_HANDSHAKE) {
      if (type === RECORD_PARAMETERS && core.peer === null) this.#onParameters(body);
      else if (type < FIRST_UNKNOWN_RECORD) core.drops["wrong-epoch"]++;
      return;
    }
    switch (type) {
      case RECORD_NEW_ID:
        this.#onNewId(body);
        break;
      case RECORD_RETIRE_ID: {
        const id = core.localIds.retire(readVarint(body, 0, body.length));
        if (id === null) break;
        core.options.connectionIds.retire(id);
        this.issueIds();
        break;
      }
      case RECORD_TOKEN:
        if (core.isClient && body.length <= MAX_TOKEN_BYTES) this.receivedToken = body.slice();
        break;
      default:
        break;
    }
  };

  #onNewId(body: Uint8Array): void {
    const core = this.#core;
    const fresh = decodeNewId(body);
    if (fresh === null || fresh.id.length !== core.remoteIds.current.length) {
      core.protocolError("a connection id that is none", core.nowMs);
    } else if (!core.remoteIds.add(fresh.sequence, fresh.id, fresh.resetToken)) {
      core.protocolError("more connection ids than asked for", core.nowMs);
    }
  }
}
