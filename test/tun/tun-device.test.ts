/**
 * TUN devices on a real kernel, in a namespace of their own. Needs root.
 *
 *     traffic 10.20.0.1 ---> bats0 ---> reflector exchanges source 10.20.0.1 and destination 10.20.0.2
 *     traffic 10.20.0.1 <--- bats0 <---'
 */
import { describe, expect, test } from "vitest";
import { openTun, type TunCounters, TunError, type TunOptions } from "../../src/tun/index.ts";
import { Namespace, type Program, whyNoNamespaces } from "../netns.ts";

const whyNot = whyNoNamespaces();
if (whyNot !== null) console.warn(`skipped: ${whyNot}`);

interface Opened {
  name: string;
  mtu: number;
  created: boolean;
  offloads: { tcp: boolean; udp: boolean };
}

interface Refused {
  error: string;
  code: string;
}

function reflector(namespace: Namespace, options: TunOptions): Program {
  return namespace.program("tun/reflector.ts", JSON.stringify(options));
}

async function refusal(namespace: Namespace, options: TunOptions): Promise<Refused> {
  return reflector(namespace, options).next<Refused>();
}

/** TCP and UDP of both IP versions pass a reflector intact. */
async function expectTraffic(namespace: Namespace): Promise<void> {
  for (const [own, behind] of [
    ["10.20.0.1", "10.20.0.2"],
    ["fd20::1", "fd20::2"],
  ]) {
    const traffic = namespace.program("tun/traffic.ts", own, behind, String(4 << 20));
    expect(await traffic.next()).toEqual({ intact: true, datagrams: "1,500,1400,9000,40000" });
  }
}

const addresses = ["10.20.0.1/24", "fd20::1/64"];

describe.skipIf(whyNot !== null)("a TUN device", () => {
  test.each([
    [true, 1400],
    [false, 1400],
    [true, 9000],
  ])("carries TCP and UDP of both IP versions intact, with offload %s and an MTU of %i", async (offload, mtu) => {
    const namespace = new Namespace();
    const program = reflector(namespace, { name: "bats0", addresses, mtu, offload });
    expect(await program.next()).toMatchObject({ name: "bats0", mtu, created: true, offloads: { tcp: offload } });
    await expectTraffic(namespace);
    program.finish();
    const counters = await program.next<TunCounters & { longest: number; malformed: number }>();
    expect(counters).toMatchObject({
      malformed: 0,
      readMalformed: 0,
      writeMalformed: 0,
      writeErrors: {},
      longest: mtu,
    });
    expect(counters.readPackets).toBeGreaterThan((8 << 20) / mtu);
    if (offload) {
      expect(counters.reads).toBeLessThan(counters.readPackets / 2);
      expect(counters.writes).toBeLessThan(counters.writtenPackets / 2);
    } else {
      expect(counters.reads).toBe(counters.readPackets);
      expect(counters.writes).toBe(counters.writtenPackets);
    }
  });

  test("hands over and takes trains of segments whole, when somebody takes them", async () => {
    const namespace = new Namespace();
    const program = namespace.program("tun/reflector.ts", JSON.stringify({ name: "bats0", addresses, trains: true }));
    expect(await program.next()).toMatchObject({ offloads: { tcp: true } });
    await expectTraffic(namespace);
    program.finish();
    const counters = await program.next<TunCounters & { malformed: number; whole: number }>();
    expect(counters).toMatchObject({ malformed: 0, readMalformed: 0, writeMalformed: 0, writeErrors: {} });
    expect(counters.whole).toBeGreaterThan((8 << 20) / 65_536);
    // Counted as the segments that they stand for.
    expect(counters.readPackets).toBeGreaterThan((8 << 20) / 1500);
    expect(counters.writtenPackets).toBe(counters.readPackets);
    expect(counters.writtenBytes).toBe(counters.readBytes);
  });

  test("has its addresses, MTU and routes, is up, and leaves nothing behind when its program is killed", async () => {
    const namespace = new Namespace();
    const routes = ["192.168.7.9/24", "fd99::/48"];
    const program = reflector(namespace, { name: "bats%d", addresses, mtu: 1280, routes });
    const { name } = await program.next<Opened>();
    expect(name).toBe("bats0");
    const [link] = JSON.parse(namespace.ip("-j", "addr", "show", "dev", name));
    expect(link.mtu).toBe(1280);
    expect(link.flags).toContain("UP");
    const shown = link.addr_info.map((info: { local: string; prefixlen: number }) => `${info.local}/${info.prefixlen}`);
    expect(shown).toEqual(expect.arrayContaining(addresses));
    expect(namespace.ip("route")).toMatch(/192\.168\.7\.0\/24 dev bats0 scope link/);
    expect(namespace.ip("-6", "route")).toMatch(/fd99::\/48 dev bats0/);
    program.kill("SIGKILL");
    await program.exit;
    expect(namespace.ip("-j", "link")).not.toContain(name);
    expect(namespace.ip("route")).toBe("");
  });

  test("that an administrator made is taken over, and is as before afterwards", async () => {
    const namespace = new Namespace();
    namespace.ip("tuntap", "add", "dev", "admin0", "mode", "tun");
    namespace.ip("addr", "add", "10.20.0.1/24", "dev", "admin0");
    namespace.ip("link", "set", "admin0", "up");
    const before = namespace.ip("-4", "-br", "addr", "show", "dev", "admin0");
    const program = reflector(namespace, {
      name: "admin0",
      addresses: ["10.20.0.1/24", "10.30.0.1/24"],
      mtu: 1300,
      routes: ["192.168.7.0/24"],
    });
    expect(await program.next()).toMatchObject({ created: false, mtu: 1300 });
    expect(namespace.ip("addr", "show", "dev", "admin0")).toMatch(/mtu 1300[\s\S]*10\.30\.0\.1/);
    program.finish();
    await program.next();
    await program.exit;
    expect(namespace.ip("-4", "-br", "addr", "show", "dev", "admin0")).toBe(before);
    expect(namespace.ip("addr", "show", "dev", "admin0")).toMatch(/mtu 1500/);
    expect(namespace.ip("route")).not.toContain("192.168.7");
  });

  test("needs no privilege when an administrator made it for the user, who is told what it lacks", async () => {
    const namespace = new Namespace();
    namespace.ip("tuntap", "add", "dev", "admin0", "mode", "tun", "user", "0");
    namespace.ip("tuntap", "add", "dev", "admin1", "mode", "tun", "user", "65534");
    namespace.ip("addr", "add", "10.20.0.1/24", "dev", "admin0");
    namespace.ip("link", "set", "admin0", "up");
    const open = (options: TunOptions) =>
      namespace.unprivilegedProgram("tun/reflector.ts", JSON.stringify(options)).next<Opened & Refused>();
    expect((await open({ name: "bats0" })).error).toMatch(
      /cannot make the TUN device bats0: that needs CAP_NET_ADMIN.*ip tuntap add dev bats0 mode tun user/,
    );
    expect((await open({ name: "admin1" })).error).toMatch(/it belongs to another user/);
    expect((await open({ name: "admin0", addresses: ["10.30.0.1/24"] })).error).toMatch(
      /cannot put 10\.30\.0\.1\/24 on admin0: .*let an administrator do "ip address add 10\.30\.0\.1\/24 dev admin0"/,
    );
    expect(await open({ name: "admin0", addresses: ["10.20.0.1/24"], mtu: 1500 })).toMatchObject({ created: false });
  });

  test("says so when the interface is deleted under its feet, and the program goes on", async () => {
    const namespace = new Namespace();
    const program = reflector(namespace, { name: "bats0", addresses });
    await program.next();
    namespace.ip("link", "del", "bats0");
    expect((await program.next<{ gone: string }>()).gone).toMatch(/the TUN device bats0 is gone: someone deleted/);
    program.finish();
    expect(await program.next()).toMatchObject({ writeErrors: {} });
    expect(await program.exit).toBe(0);
  });

  test("is refused in words when it is in use, no TUN device, or cannot be configured", async () => {
    const namespace = new Namespace();
    const program = reflector(namespace, { name: "bats0" });
    await program.next();
    expect(await refusal(namespace, { name: "bats0" })).toEqual({
      error: "cannot take over the TUN device bats0: another program has it: stop that, or choose another name (EBUSY)",
      code: "EBUSY",
    });
    expect((await refusal(namespace, { name: "lo" })).error).toMatch(/an interface has that name and is no TUN device/);
    expect((await refusal(namespace, { name: "bats1", mtu: 1000, addresses: ["fd20::1/64"] })).error).toMatch(
      /cannot put fd20::1\/64 on bats1: .*1280/,
    );
    const routes = ["10.9.0.0/16", "10.9.0.0/16"];
    expect((await refusal(namespace, { name: "bats1", routes })).error).toMatch(/there is such a route already/);
    expect(namespace.ip("-j", "link")).not.toContain("bats1");
  });
});

test.each<[string, Partial<TunOptions>, RegExp]>([
  ["a name that is too long", { name: "sixteen-bytes-ab" }, /"sixteen-bytes-ab" \(16 bytes\), wanted 1 to 15 bytes/],
  ["an empty name", { name: "" }, /wanted 1 to 15 bytes/],
  ["a name with a slash", { name: "a/b" }, /wanted 1 to 15 bytes without spaces/],
  ["an address without prefix", { addresses: ["10.0.0.1"] }, /an address of the TUN device is "10\.0\.0\.1", wanted/],
  ["a prefix that is too long", { addresses: ["10.0.0.1/33"] }, /wanted an address with its prefix length/],
  ["a route that is no network", { routes: ["default"] }, /a route over the TUN device is "default"/],
  ["an MTU out of range", { mtu: 70_000 }, /MTU is 70000, wanted 68 to 65535 bytes/],
])("%s is refused before anything is done", async (_what, options, message) => {
  const error = await openTun({ name: "bats0", ...options }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TunError);
  expect((error as TunError).message).toMatch(message);
});
