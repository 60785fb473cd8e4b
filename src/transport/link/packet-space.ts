/**
 * What a link keeps for each epoch apart (RFC 9000, section 12.3, but with one sequence of packet numbers): what came, when that is
 * acknowledged, and the epoch's control stream.
 */
import { AckPolicy } from "./ack-policy.ts";
import { AckTracker } from "./ack-tracker.ts";
import { RecordReader } from "./control-records.ts";
import { type ControlCoder, ControlReceiver, ControlSender } from "./control-stream.ts";
import { EPOCH_HANDSHAKE, type Epoch } from "./loss-detection.ts";
import { ReplayWindow } from "./replay-window.ts";

export class PacketSpace {
  readonly epoch: Epoch;
  readonly window = new ReplayWindow();
  readonly tracker = new AckTracker();
  readonly policy = new AckPolicy();
  readonly sender: ControlSender;
  readonly receiver: ControlReceiver;
  readonly records = new RecordReader();

  constructor(epoch: Epoch, coder: ControlCoder) {
    this.epoch = epoch;
    this.sender = new ControlSender(coder, epoch === EPOCH_HANDSHAKE);
    this.receiver = new ControlReceiver(coder, epoch === EPOCH_HANDSHAKE);
  }

  /** Ends the control stream and gives its memory back. */
  destroy(): void {
    this.sender.destroy();
    this.receiver.destroy();
  }
}
