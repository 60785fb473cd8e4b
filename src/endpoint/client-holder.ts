/**
 * The client's end of a session: dials, and when the peer falls silent or the link is gone, dials anew and goes on with the same
 * session. The old link stays beside the new one until that is there, for it may be quicker to come back.
 *
 * Attempts go to the address where the session worked last and to another one of the server's name, by turns; the former is dialled
 * though the name leads there no more, or cannot be looked up. At another address there may be another server. So a link to there is
 * an attempt until the server gives a token, which it does with the session only, and that the session is unknown there ends nothing. It
 * is lost when that is said where it worked; or at all other addresses, after several attempts failed where it worked.
 *
 * Where there is a fallback, a server that is silent over UDP is dialled by it; from then on UDP is dialled beside that link every now
 * and then, and takes the session back when it answers.
 */
import type { FallbackPath } from "../fallback/index.ts";
import type { Address } from "../transport/address.ts";
import type { CloseReason, LinkParameters } from "../transport/link/index.ts";
import type { Session } from "../transport/session/session.ts";
import { Attachment } from "./attachment.ts";
import type { LinkSecurity } from "./link-security.ts";
import { CLOSE_NO_NEW_SESSIONS, CLOSE_SESSION_UNKNOWN, SessionHolder } from "./session-holder.ts";
import type { SocketDriver } from "./socket-driver.ts";
import type { LinkSettings } from "./transport-endpoint.ts";

/** The peer counts as silent after this many unanswered probes, and this long without a packet. */
const SILENT_PROBES = 3;
const SILENT_MS = 1000;
/** An attempt at another link may take this long; between two there is a pause that grows. */
const ATTEMPT_MS = 10_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;
/** After so many failures where the session worked, it is believed of the other addresses that it is unknown. */
const GOOD_FAILURES = 3;

/** Where a server is over UDP. */
export interface ServerAddresses {
  /** Looked up afresh for each new link: one or more. */
  resolve(): Promise<readonly Address[]>;
  /** An attempt at an address that was resolved came to a link, or did not: then another, if there is one, is the next session's first. */
  note(address: Address, answers: boolean): void;
}

export interface ClientHolderOptions {
  session: Session;
  driver: SocketDriver;
  security: LinkSecurity;
  serverName: string;
  addresses: ServerAddresses;
  /**
   * Goes on from another local port: something on the way may have forgotten, or taken a dislike to, the old one. Left out where other
   * links share it.
   */
  rebind?: () => Promise<void>;
  /** Everything of a link but user, handshake and session parameters. Asked for each. */
  settings: () => Omit<LinkSettings, "user" | "handshake" | "session">;
  /** How long a session waits for a link, ms. */
  resumeTimeoutMs: number;
  /** How long an attempt at another link may take, ms. Default 10,000. */
  attemptMs?: number;
  /** Another way to the server, for where UDP does not pass. */
  fallback?: FallbackPath;
}

/** UDP is tried at least so often while the session goes another way. */
const LONGEST_RETURN_MS = 120_000;
/** UDP that held for so long is taken for a way that works. */
const STEADY_MS = 300_000;

export class ClientHolder extends SessionHolder {
  readonly #options: ClientHolderOptions;
  /** A link in the making, beside the current one or after it. */
  #attempt: Attachment | null = null;
  /** Whether it carries nothing until the server shows that it has the session. */
  #provisional = false;
  #attempts = 0;
  /** Where the session worked last over UDP, and how many addresses were chosen since. */
  #good: Address | null = null;
  #chosen = 0;
  /** Since then: attempts that failed there, the other addresses of the name, and those of them where the session is unknown. */
  #goodFailures = 0;
  #others: readonly Address[] = [];
  readonly #unknownAt = new Set<string>();
  /** From the server, for the next link: proof of this end's address. */
  #token: Uint8Array | null = null;
  /** The new link carries the session, but the server has not said anything in it yet: it may still refuse the client. */
  #unconfirmed = false;
  #retryTimer: NodeJS.Timeout | null = null;
  #patienceTimer: NodeJS.Timeout | null = null;
  #fallbackTimer: NodeJS.Timeout | null = null;
  /** Why there is no way by the fallback, either. */
  #fallbackFailure = "";
  #returnTimer: NodeJS.Timeout | null = null;
  #returns = 0;
  /** When the session came to UDP last. */
  #udpFromMs = 0;
  /** The first link must be there by then. */
  #openByMs = 0;

  constructor(options: ClientHolderOptions) {
    super(options.session, options.driver);
    this.#options = options;
    const { fallback } = options;
    if (fallback !== undefined) fallback.onGone = (words) => this.#onFallbackGone(words);
  }

  /** Begins. `listener` hears how it went. */
  dial(remote: Address, timeoutMs: number): void {
    this.#openByMs = this.driver.now() + timeoutMs;
    this.#armFallback();
    this.#dial(remote, timeoutMs);
  }

  established(attachment: Attachment, peer: LinkParameters, nowMs: number): void {
    if (attachment !== this.#attempt) return;
    if (this.#provisional) {
      attachment.hear(this.session);
      return;
    }
    this.#take(attachment, nowMs);
    if (this.state === "opening") this.begin(peer, nowMs);
  }

  #take(attachment: Attachment, nowMs: number): void {
    this.#attempt = null;
    this.attach(attachment, nowMs);
    this.#unconfirmed = true;
  }

  override progressed(attachment: Attachment, nowMs: number): void {
    const { link } = attachment.routed;
    // A token comes with the session only; a link may also be one to a server that does not know it.
    if (attachment === this.#attempt && link.receivedToken !== null && link.closeReason === null) {
      this.#take(attachment, nowMs);
    }
    if (attachment === this.current) {
      this.#token = link.receivedToken ?? this.#token;
      this.#watch(attachment, nowMs);
    }
    super.progressed(attachment, nowMs);
  }

  override closed(attachment: Attachment, reason: CloseReason, nowMs: number): void {
    if (attachment !== this.#attempt) {
      super.closed(attachment, reason, nowMs);
      return;
    }
    this.#attempt = null;
    if (this.state === "opening") {
      this.#endOpening(reason);
      return;
    }
    attachment.release();
    if (speaksAgainstAddress(reason)) this.#note(attachment, false);
    this.listener?.attemptFailed(reason);
    if (this.state === "open") this.#returnLater();
    else this.#onFailure(attachment.routed.link.remote, reason);
  }

  /** An attempt at a link for the suspended session failed. */
  #onFailure({ ip, carrier }: Address, { cause, code }: CloseReason): void {
    if (carrier === undefined) {
      if (ip === this.#good?.ip) this.#goodFailures++;
      else if (cause === "peer" && code === CLOSE_SESSION_UNKNOWN) this.#unknownAt.add(ip);
    }
    const others = this.#others;
    const goodGone = this.#good === null || this.#goodFailures >= GOOD_FAILURES;
    if (goodGone && others.length > 0 && others.every((one) => this.#unknownAt.has(one.ip))) {
      const where = this.#good === null ? "it is" : `no answer from ${this.#good.ip} any more, and it is`;
      this.end({ cause: "lost", text: `${where} not known at the addresses of ${this.#options.serverName}` });
    } else {
      this.#retryLater();
    }
  }

  protected onLinkGone(): void {
    this.#unconfirmed = false;
    this.#startPatience();
    this.#retry();
  }

  protected onEnd(): void {
    this.#giveUpAttempt();
    if (this.#returnTimer !== null) clearTimeout(this.#returnTimer);
    this.#returnTimer = null;
    if (this.#patienceTimer !== null) clearTimeout(this.#patienceTimer);
    this.#patienceTimer = null;
  }

  /** Looks whether the peer has fallen silent, or is back. */
  #watch({ routed: { link } }: Attachment, nowMs: number): void {
    if (link.closeReason !== null || this.state === "over") return;
    if (this.#unconfirmed) {
      if (link.confirmed) {
        this.#unconfirmed = false;
        if (this.state === "opening") this.open();
        this.#back();
      }
    } else if (this.state === "suspended" && link.unansweredProbes === 0) {
      this.#back();
    } else if (
      this.state === "open" &&
      link.unansweredProbes >= SILENT_PROBES &&
      nowMs - link.receivedMs >= SILENT_MS
    ) {
      this.suspend();
      this.#startPatience();
      this.#retry();
    }
  }

  #back(): void {
    this.#giveUpAttempt();
    if (this.#patienceTimer !== null) clearTimeout(this.#patienceTimer);
    this.#patienceTimer = null;
    this.#attempts = 0;
    this.#chosen = 0;
    this.#goodFailures = 0;
    this.#unknownAt.clear();
    this.resume();
    if (this.current?.routed.link.remote.carrier !== undefined) {
      this.#returnLater();
      return;
    }
    if (this.current !== null) {
      this.#note(this.current, true);
      this.#good = this.current.routed.link.remote;
    }
    this.#udpFromMs = this.driver.now();
    this.#options.fallback?.close();
  }

  #note({ routed: { link } }: Attachment, answers: boolean): void {
    if (link.remote.carrier === undefined) this.#options.addresses.note(link.remote, answers);
  }

  #giveUpAttempt(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    if (this.#fallbackTimer !== null) clearTimeout(this.#fallbackTimer);
    this.#fallbackTimer = null;
    const attempt = this.#attempt;
    this.#attempt = null;
    if (attempt === null) return;
    this.driver.endpoint.destroy(attempt.routed, this.driver.now());
    attempt.release();
  }

  #startPatience(): void {
    const { resumeTimeoutMs } = this.#options;
    this.#patienceTimer ??= setTimeout(() => {
      const text = `no link to the server for ${Math.round(resumeTimeoutMs / 1000)} s`;
      this.end({ cause: "timeout", text });
    }, resumeTimeoutMs);
  }

  #retryLater(): void {
    if (this.state === "over" || this.#retryTimer !== null) return;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#attempts++, LONGEST_PAUSE_MS);
    // Thousands of clients of one server must not come back in step.
    this.#retryTimer = setTimeout(() => this.#retry(), pauseMs * (0.5 + Math.random()));
  }

  #retry(): void {
    this.#retryTimer = null;
    if (this.state !== "suspended" || this.#attempt !== null) return;
    this.#armFallback();
    this.#prepare().then(
      (addresses) => {
        if (this.state === "suspended" && this.#attempt === null) this.#dialOneOf(addresses);
      },
      (error: Error) => {
        // The old link may be back.
        if (this.state !== "suspended") return;
        this.listener?.attemptFailed(error);
        this.#retryLater();
      },
    );
  }

  async #prepare(): Promise<readonly Address[]> {
    if (this.#attempts > 0) await this.#options.rebind?.();
    return this.#resolve();
  }

  /** The server's addresses; where they cannot be looked up, the one that is known. */
  async #resolve(): Promise<readonly Address[]> {
    try {
      return await this.#options.addresses.resolve();
    } catch (error) {
      if (this.#good === null) throw error;
      return [this.#good];
    }
  }

  /** Dials where the session worked and another address by turns; the former first, unless the name leads there no more. */
  #dialOneOf(addresses: readonly Address[]): void {
    const good = this.#good;
    const others = addresses.filter(({ ip }) => ip !== good?.ip);
    this.#others = others;
    const listed = others.length < addresses.length;
    const turn = this.#chosen++;
    let remote = good;
    if (good === null) remote = others[turn % others.length];
    else if (others.length > 0 && (turn % 2 === 1) === listed) remote = others[(turn >> 1) % others.length];
    // What carries the session stays whatever comes of an attempt beside it.
    const provisional = this.state === "open" || remote !== good;
    this.#dial(remote!, this.#attemptMs, provisional);
  }

  get #attemptMs(): number {
    return this.#options.attemptMs ?? ATTEMPT_MS;
  }

  // ---------------------------------------------------------------- by the fallback, and back

  #armFallback(): void {
    const { fallback } = this.#options;
    if (fallback !== undefined) this.#fallbackTimer ??= setTimeout(() => this.#fallBack(), fallback.afterMs);
  }

  #fallBack(): void {
    this.#fallbackTimer = null;
    const { fallback } = this.#options;
    fallback!.open().then(
      (remote) => {
        if (remote === null) return;
        const wanted = this.state === "suspended" || (this.state === "opening" && this.current === null);
        if (!wanted) {
          fallback!.close();
          return;
        }
        if (this.#attempt !== null) this.#note(this.#attempt, false);
        this.#giveUpAttempt();
        if (this.driver.now() - this.#udpFromMs > STEADY_MS) this.#returns = 0;
        const leftMs = this.state === "opening" ? this.#openByMs - this.driver.now() : this.#attemptMs;
        this.#dial(remote, leftMs);
      },
      (error: Error) => {
        this.#fallbackFailure = error.message;
        if (this.state === "suspended") this.listener?.attemptFailed(new Error(`by the fallback: ${error.message}`));
      },
    );
  }

  #onFallbackGone(words: string): void {
    this.#fallbackFailure = words;
    const onCarrier = (one: Attachment | null): boolean => one?.routed.link.remote.carrier !== undefined;
    if (this.state === "opening" && (onCarrier(this.#attempt) || onCarrier(this.current))) {
      this.end({ cause: "timeout", text: this.#silence });
    } else if (onCarrier(this.#attempt)) {
      this.#giveUpAttempt();
      this.#retryLater();
    } else if (this.state === "open" && onCarrier(this.current)) {
      this.suspend();
      this.#startPatience();
      this.#retry();
    }
  }

  #endOpening(reason: CloseReason): void {
    const silent = reason.cause === "timeout" && this.#fallbackFailure !== "";
    this.end(silent ? { cause: "timeout", text: this.#silence } : { cause: "link", reason });
  }

  get #silence(): string {
    return `no answer over UDP, and none by the fallback: ${this.#fallbackFailure}`;
  }

  #returnLater(): void {
    const { fallback } = this.#options;
    if (fallback === undefined || this.#returnTimer !== null) return;
    const pauseMs = Math.min(fallback.returnMs * 2 ** this.#returns++, Math.max(LONGEST_RETURN_MS, fallback.returnMs));
    this.#returnTimer = setTimeout(() => this.#tryUdp(), pauseMs * (0.75 + Math.random() / 2));
    this.#returnTimer.unref();
  }

  /** Dials over UDP beside the link that goes another way. */
  #tryUdp(): void {
    this.#returnTimer = null;
    const wanted = (): boolean =>
      this.state === "open" && this.#attempt === null && this.current?.routed.link.remote.carrier !== undefined;
    if (!wanted()) return;
    this.#resolve().then(
      (addresses) => {
        if (wanted()) this.#dialOneOf(addresses);
      },
      (error: Error) => {
        if (!wanted()) return;
        this.listener?.attemptFailed(error);
        this.#returnLater();
      },
    );
  }

  #dial(remote: Address, handshakeTimeoutMs: number, provisional = false): void {
    const { settings, security, serverName, driver } = this.#options;
    const attachment = new Attachment(this);
    this.#attempt = attachment;
    this.#provisional = provisional;
    const handshake = security.handshake("client", serverName, () => {
      driver.endpoint.wake(attachment.routed);
      driver.wake();
    });
    attachment.handshake = handshake;
    const session = this.session.localParameters;
    const nowMs = driver.now();
    const token = this.#token === null ? {} : { token: this.#token };
    const own = { handshakeTimeoutMs, ...token, user: attachment, handshake, session };
    driver.endpoint.connect(remote, { ...settings(), ...own }, attachment, nowMs);
    driver.wake();
  }
}

/** Whether an attempt that ended so had better gone to another address: not where this end, or what it asked for, is at fault. */
export function speaksAgainstAddress({ cause, code }: CloseReason): boolean {
  if (cause === "peer") return code === CLOSE_NO_NEW_SESSIONS;
  return cause === "timeout" || cause === "idle" || cause === "version" || cause === "handshake";
}
