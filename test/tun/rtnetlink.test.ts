import { expect, test } from "vitest";
import { loadLibc } from "../../src/native/libc.ts";
import { parseNetwork } from "../../src/tun/network.ts";
import { Rtnetlink } from "../../src/tun/rtnetlink.ts";

const libc = await loadLibc();
const LOOPBACK = 1;

test.skipIf(typeof libc === "string" || process.platform !== "linux")(
  "tells whether an interface has an address, with that prefix length, for anybody who asks",
  () => {
    if (typeof libc === "string") return;
    const netlink = new Rtnetlink(libc);
    const has = (index: number, text: string) => netlink.hasAddress(index, parseNetwork(text, "an address"));
    expect(has(LOOPBACK, "127.0.0.1/8")).toBe(true);
    expect(has(LOOPBACK, "127.0.0.1/16")).toBe(false);
    expect(has(LOOPBACK, "127.0.0.2/8")).toBe(false);
    expect(has(65_000, "127.0.0.1/8")).toBe(false);
    expect(has(LOOPBACK, "fd20::1/64")).toBe(false);
    // Answers are read to their end: what comes after one is the answer to that.
    expect(has(LOOPBACK, "127.0.0.1/8")).toBe(true);
    netlink.close();
  },
);
