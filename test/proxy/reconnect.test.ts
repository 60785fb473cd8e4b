import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { keepConnected, type Verdict } from "../../src/proxy/reconnect.ts";
import { createFakePair, type FakePair } from "./fake-carrier.ts";
import { createLog, until } from "./local.ts";

type FakeSession = FakePair["client"];

const createSession = () => createFakePair().client;

interface Script {
  connect(target: string, attempt: number): Promise<FakeSession> | FakeSession;
  targets?: string[];
  failFast?: boolean;
  judge?: (error: Error) => Verdict;
}

function start({ connect, targets = ["a:1"], failFast = false, judge = () => "retry" }: Script) {
  const controller = new AbortController();
  const log = createLog();
  const attempts: string[] = [];
  const sessions: FakeSession[] = [];
  const { signal } = controller;
  const done = keepConnected({
    targets,
    connect: async (target) => {
      attempts.push(target);
      return connect(target, attempts.length);
    },
    judge,
    onSession: (session) => void sessions.push(session),
    log,
    failFast,
    signal,
  });
  return { done, log, attempts, sessions, signal, stop: () => controller.abort() };
}

describe("a client that keeps connected", () => {
  it("tries on while there is no network, and says so once", async () => {
    const { done, log, sessions, stop } = start({
      connect: (_, attempt) => {
        if (attempt < 4) throw new Error("cannot find the address of a");
        return createSession();
      },
    });
    await until(() => sessions.length === 1);
    expect(log.lines).toEqual(["a:1: cannot find the address of a"]);
    stop();
    await done;
  });

  it("tries each server in turn, and begins with the next one after a session", async () => {
    const { done, attempts, sessions, stop } = start({
      targets: ["a:1", "b:1", "c:1"],
      connect: (target) => {
        if (target === "a:1") throw new Error("down");
        return createSession();
      },
    });
    await until(() => sessions.length === 1);
    sessions[0].lose();
    await until(() => sessions.length === 2);
    expect(attempts).toEqual(["a:1", "b:1", "c:1"]);
    stop();
    await done;
  });

  it("leaves nothing behind of a session that is over", async () => {
    const { done, sessions, signal, stop } = start({ connect: () => createSession() });
    const waiting = [];
    for (let turn = 1; turn <= 3; turn++) {
      await until(() => sessions.length === turn);
      waiting.push(getEventListeners(signal, "abort").length);
      sessions[turn - 1].lose();
    }
    expect(waiting[2]).toBe(waiting[0]);
    stop();
    await done;
  });

  it("gives up when it is refused three times in a row, but not once it had a session", async () => {
    const first = start({
      judge: () => "hopeless",
      connect: () => {
        throw new Error("foreign CA");
      },
    });
    await expect(first.done).rejects.toThrow("foreign CA");
    expect(first.attempts.length).toBe(3);
    // Who started it says why, once.
    expect(first.log.lines).toEqual(["refused; asking again, since a first refusal may be forged"]);
    const second = start({
      judge: (error) => (error.message === "foreign CA" ? "hopeless" : "retry"),
      connect: (_, attempt) => {
        if (attempt === 2) throw new Error("foreign CA");
        return createSession();
      },
    });
    await until(() => second.sessions.length === 1);
    second.sessions[0].lose();
    await until(() => second.sessions.length === 2);
    second.stop();
    await second.done;
  });

  it("does not believe a refusal that is not repeated", async () => {
    const { done, sessions, stop } = start({
      judge: () => "hopeless",
      connect: (_, attempt) => {
        if (attempt < 3) throw new Error("forged");
        return createSession();
      },
    });
    await until(() => sessions.length === 1);
    stop();
    await done;
  });

  it("says which server refused when another is silent", async () => {
    const { done, log, attempts, stop } = start({
      targets: ["a:1", "b:1"],
      judge: ({ message }) => (message === "foreign CA" ? "hopeless" : "retry"),
      connect: (target) => {
        throw new Error(target === "a:1" ? "foreign CA" : "down");
      },
    });
    await until(() => attempts.length >= 3);
    expect(log.lines.toSorted()).toEqual(["a:1: foreign CA", "b:1: down"]);
    stop();
    await done;
  });

  it("gives up after one round when it is told to", async () => {
    const { done, attempts, log } = start({
      targets: ["a:1", "b:1"],
      failFast: true,
      connect: (target) => {
        throw new Error(`${target} is down`);
      },
    });
    await expect(done).rejects.toThrow("b:1 is down");
    expect(log.lines).toEqual(["a:1 is down"]);
    expect(attempts).toEqual(["a:1", "b:1"]);
  });

  it("stops while it waits", async () => {
    const { done, attempts, stop } = start({
      connect: () => {
        throw new Error("down");
      },
    });
    await until(() => attempts.length === 2);
    stop();
    await done;
  });
});
