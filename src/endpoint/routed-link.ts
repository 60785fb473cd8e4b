/** A link as its endpoint keeps it: what leads to it, when it wants to be called, and who watches over it. */
import type { Link } from "../transport/link/index.ts";
import type { Timed } from "./timer-heap.ts";

/** Who has a link, and looks after it between the datagrams. Called from within the endpoint's own verbs. */
export interface LinkObserver {
  /** Set by the endpoint before the link is made. */
  routed: RoutedLink;
  /** Once for each burst of datagrams, timeout or send that concerned the link: events may wait in whatever is above it. */
  progressed(nowMs: number): void;
  /** The link is gone for good: nothing leads to it any more. */
  removed(nowMs: number): void;
}

export class RoutedLink implements Timed {
  heapIndex = -1;
  dueMs = Number.POSITIVE_INFINITY;
  readonly observer: LinkObserver;
  /** Made right after this: the link asks for connection ids while it is made. */
  link!: Link;
  /** All ids that lead here. */
  readonly ids: Uint8Array[] = [];
  /** The id that the client chose for its first packets, under which they come; empty for links that were dialled. */
  readonly firstId: string;
  /** It waits for its turn to send. */
  queued = false;
  /** It waits for `observer.progressed`. */
  touched = false;
  /** It counts as a handshake whose client has not proved its address. */
  unvalidated = false;
  /** It counts as a handshake that a client began. */
  handshaking = false;
  gone = false;

  constructor(observer: LinkObserver, firstId: string) {
    this.observer = observer;
    observer.routed = this;
    this.firstId = firstId;
  }
}
