/** Programs of others through the IP tunnel, and connections in it that outlive what happens to the path, on a network that loses 2 %. */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Command } from "../cli/command.ts";
import { until } from "../proxy/local.ts";
import { CLOUD_IP, Network } from "./network.ts";
import { createQuicSite, find, runProgram } from "./other-programs.ts";
import { delay, folderLater, hashOf, later, noNetwork, start, theCertificates } from "./rig.ts";

const CLOUD = "10.20.0.1";
const EDGE = "10.20.0.2";
const TALK = fileURLToPath(new URL("../tunnel/talk.ts", import.meta.url));

const sshd = find("sshd");
const ssh = find("ssh");
const dnsmasq = find("dnsmasq");
const quicServer = find("gtlsserver");
const quicClient = find("gtlsclient");

interface Tunnel {
  network: Network;
  server: Command;
  client: Command;
  /** Starts the server again, after it has ended. */
  startServer(): Promise<Command>;
}

async function startTunnel(options: readonly string[] = []): Promise<Tunnel> {
  const network = new Network();
  later(() => network.remove());
  network.lose(2);
  const certificates = theCertificates();
  const startServer = async () => {
    const own = ["--tun", `bats0=${CLOUD}/24,fd20::1/64`, "--allow", "*=tun", ...options];
    const server = start(["server", "--listen", "4433", ...certificates.of(CLOUD_IP), ...own], network.cloud);
    await server.line(/serving on UDP/);
    return server;
  };
  const server = await startServer();
  const own = ["--tun", `bats0=${EDGE}/24,fd20::2/64`, ...options];
  const client = start(["client", "--connect", `${CLOUD_IP}:4433`, ...certificates.of("edge-1"), ...own], network.edge);
  await client.line(/the tunnel is up/);
  return { network, server, client, startServer };
}

/** Starts a program in a namespace; what it says goes to `said`. */
function background(namespace: string, command: readonly string[]): { said: () => string } {
  const child = spawn("ip", ["netns", "exec", namespace, ...command], { stdio: ["ignore", "pipe", "pipe"] });
  later(() => child.kill("SIGKILL"));
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => {
      said += text;
    });
  }
  return { said: () => said };
}

function run(namespace: string, command: readonly string[]): Promise<string> {
  return runProgram("ip", ["netns", "exec", namespace, ...command]);
}

function talk(...args: string[]): string[] {
  return [process.execPath, "--import", "tsx", TALK, ...args];
}

describe.skipIf(noNetwork)("through a tunnel", () => {
  it.skipIf(sshd === null || ssh === null)("ssh logs in, and copies what it should", async () => {
    const { network } = await startTunnel();
    const folder = folderLater();
    const [hostKey, userKey, keys, file] = ["host", "user", "keys", "file"].map((name) => join(folder, name));
    for (const key of [hostKey, userKey]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    writeFileSync(keys, readFileSync(`${userKey}.pub`));
    const data = randomBytes(3_000_000);
    writeFileSync(file, data);
    // Where it separates privileges; Debian's service makes it.
    if (!existsSync("/run/sshd")) mkdirSync("/run/sshd");
    const options = [
      "StrictModes=no",
      "UsePAM=no",
      "PermitRootLogin=yes",
      `AuthorizedKeysFile=${keys}`,
      "PidFile=none",
    ];
    const server = [sshd!, "-D", "-e", "-f", "/dev/null", "-h", hostKey, ...options.flatMap((one) => ["-o", one])];
    const { said } = background(network.cloud, [...server, "-o", `ListenAddress=${CLOUD}`]);
    await until(() => said().includes("listening"));
    const known = ["StrictHostKeyChecking=no", `UserKnownHostsFile=${folder}/known`, "BatchMode=yes"];
    const login = [ssh!, "-i", userKey, ...known.flatMap((one) => ["-o", one]), `root@${CLOUD}`];
    expect(await run(network.edge, [...login, "echo", "here"])).toContain("here\n");
    expect(await run(network.edge, [...login, `sha256sum < ${file}`])).toContain(hashOf(data));
    const back = execFileSync("ip", ["netns", "exec", network.edge, ...login, `cat ${file}`], {
      maxBuffer: 2 ** 24,
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(hashOf(back)).toBe(hashOf(data));
  });

  it.skipIf(quicServer === null || quicClient === null)(
    "QUIC fetches, inside the coded datagrams of another",
    async () => {
      const page = randomBytes(500_000);
      const { folder, key, chain } = await createQuicSite(page);
      const { network } = await startTunnel();
      background(network.cloud, [quicServer!, "-q", "-d", folder, CLOUD, "4000", key, chain]);
      const got = folderLater();
      const options = ["-q", "--exit-on-all-streams-close", "--download", got];
      await run(network.edge, [quicClient!, ...options, CLOUD, "4000", "https://quic.example/page"]);
      expect(hashOf(readFileSync(join(got, "page")))).toBe(hashOf(page));
    },
  );

  it.skipIf(dnsmasq === null)("DNS answers, over UDP and, where that is too short, over TCP", async () => {
    const { network } = await startTunnel();
    const names = Array.from({ length: 20 }, (_, i) => `--txt-record=long.example,${"x".repeat(200)}${i}`);
    const records = [
      "--address=/edge.example/10.9.9.9",
      ...names,
      "--no-resolv",
      "--no-hosts",
      "--edns-packet-max=1232",
    ];
    background(network.cloud, [
      ...[dnsmasq!, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--bind-interfaces"],
      ...[`--listen-address=${CLOUD}`, "--except-interface=lo", ...records],
    ]);
    const script = `
      const { Resolver } = require("node:dns").promises;
      const resolver = new Resolver({ timeout: 1000, tries: 5 });
      resolver.setServers(["${CLOUD}"]);
      (async () => {
        const one = await resolver.resolve4("edge.example");
        const many = await resolver.resolveTxt("long.example");
        console.log(one.join(), many.length, many.flat().join("").length);
      })();`;
    expect(await run(network.edge, [process.execPath, "-e", script])).toContain("10.9.9.9 20 4030\n");
  });

  it("packets of up to 9000 bytes travel, in parts where the path's packets are shorter", async () => {
    const { network, client } = await startTunnel(["--tun-mtu", "9000"]);
    for (const host of [network.edge, network.cloud]) {
      expect(execFileSync("ip", ["-n", host, "link", "show", "bats0"], { encoding: "utf8" })).toContain("mtu 9000");
    }
    const echo = background(network.cloud, talk("echo", CLOUD));
    await until(() => echo.said().includes("ready"));
    const answer = JSON.parse(await run(network.edge, talk("ask", EDGE, CLOUD, String(1 << 20))));
    // Those of 40,000 bytes are five packets of several parts: with none repaired ahead, some may come on the second try.
    expect(answer).toMatchObject({ intact: true, datagrams: "1,500,1400,9000,40000" });
    expect(client.lines.filter((line) => /error|tooBig/.test(line))).toEqual([]);
  });

  it("a connection outlives another address of the edge, an outage, and the end of the server", async () => {
    const { network, server, client, startServer } = await startTunnel();
    const received: string[] = [];
    const script = (body: string) => [process.execPath, "-e", `const net = require("node:net");${body}`];
    const listener = background(
      network.cloud,
      script(`net.createServer((socket) => socket.pipe(socket)).listen(7000, "${CLOUD}", () => console.log("ready"));`),
    );
    await until(() => listener.said().includes("ready"));
    const child = spawn(
      "ip",
      [
        ...["netns", "exec", network.edge],
        ...script(`const socket = net.connect(7000, "${CLOUD}"); process.stdin.pipe(socket).pipe(process.stdout);`),
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    later(() => child.kill("SIGKILL"));
    let ended = false;
    void once(child, "exit").then(() => {
      ended = true;
    });
    child.stdout.on("data", (text) => received.push(...String(text).trim().split("\n")));
    let said = 0;
    const say = async () => {
      child.stdin.write(`${++said}\n`);
      await until(() => received.at(-1) === String(said) || ended);
      expect(ended).toBe(false);
    };
    await say();
    network.moveEdge();
    await say();
    network.lose(100);
    child.stdin.write(`${++said}\n`);
    await delay(3000);
    network.lose(2);
    await say();
    await server.kill("SIGKILL");
    child.stdin.write(`${++said}\n`);
    const before = client.lines.length;
    await startServer();
    await client.line(/the tunnel is up/, before);
    await say();
    expect(received).toEqual(Array.from({ length: said }, (_, i) => String(i + 1)));
  });
});
