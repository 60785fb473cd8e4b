/** Programs of others through forwards, as far as this machine has them: QUIC over UDP, PostgreSQL, Redis, scp. And a plain echo over UDP. */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { until } from "../proxy/local.ts";
import { createQuicSite, find, runProgram } from "./other-programs.ts";
import { delay, folderLater, later, noNetwork, startClient, startNetwork, startServer } from "./rig.ts";

const quicServer = find("gtlsserver");
const quicClient = find("gtlsclient");
const initdb = find("initdb", ["/usr/lib/postgresql/15/bin"]);
const psql = find("psql");
const redis = find("redis-server");
const redisCli = find("redis-cli");
const sshd = find("sshd");
const scp = find("scp");

describe("datagrams through a forward of UDP", () => {
  it("come back whole, to the source that sent them", async () => {
    const target = createSocket("udp4").bind(0, "127.0.0.1");
    await once(target, "listening");
    later(() => target.close());
    target.on("message", (payload, { port }) => target.send(payload, port, "127.0.0.1"));
    const { port } = await startServer();
    const { ports } = await startClient(port, ["-L", `udp:127.0.0.1:0=udp:127.0.0.1:${target.address().port}`]);
    const sources = Array.from({ length: 20 }, () => createSocket("udp4"));
    const lengths: Set<number>[] = sources.map(() => new Set());
    sources.forEach((source, i) => {
      later(() => source.close());
      source.on("message", (payload) => lengths[i].add(payload.every((byte) => byte === i) ? payload.length : -1));
    });
    const wanted = Array.from({ length: 50 }, (_, i) => (i + 1) * 100);
    // Datagrams may be lost, also on a busy machine: asked again until all are answered.
    for (let missing = true; missing; await delay(100)) {
      missing = false;
      for (const [i, source] of sources.entries()) {
        for (const length of wanted.filter((one) => !lengths[i].has(one)).slice(0, 5)) {
          missing = true;
          source.send(Buffer.alloc(length, i), ports[0], "127.0.0.1");
        }
      }
    }
    for (const got of lengths) expect([...got].sort((x, y) => x - y)).toEqual(wanted);
  });

  it.skipIf(noNetwork || quicServer === null || quicClient === null)(
    "are QUIC's: ngtcp2's client fetches from its server over a network that loses 5 %",
    async () => {
      const { folder, key, chain } = await createQuicSite(Buffer.alloc(200_000, "q"));
      const forward = "udp:127.0.0.1:5000=udp:127.0.0.1:4000";
      const { network } = await startNetwork(["-L", forward], { lossPercent: 5 });
      const serverArgs = [quicServer!, "-q", "-d", folder, "127.0.0.1", "4000", key, chain];
      const server = spawn("ip", ["netns", "exec", network.cloud, ...serverArgs], { stdio: "ignore" });
      later(() => server.kill("SIGKILL"));
      const got = folderLater();
      const clientArgs = [quicClient!, "-q", "--exit-on-all-streams-close", "--download", got];
      const uri = "https://quic.example/page";
      await runProgram("ip", ["netns", "exec", network.edge, ...clientArgs, "127.0.0.1", "5000", uri]);
      expect(execFileSync("cmp", [join(folder, "page"), join(got, "page")], { encoding: "utf8" })).toBe("");
    },
  );
});

describe.skipIf(initdb === null || psql === null || process.getuid?.() !== 0)("PostgreSQL through a forward", () => {
  it("answers queries, small ones and large ones", async () => {
    const folder = folderLater();
    chmodSync(folder, 0o711);
    const [data, there, here] = ["data", "there", "here"].map((name) => join(folder, name));
    for (const one of [data, there, here]) mkdirSync(one);
    // It refuses to run as root.
    const nobody = { uid: 65_534, gid: 65_534 };
    execFileSync("chown", ["65534:65534", data, there]);
    await runProgram(initdb!, ["-D", data, "-U", "tester", "--no-sync", "-A", "trust"], nobody);
    const name = ".s.PGSQL.5432";
    const postgres = join(execFileSync("dirname", [initdb!], { encoding: "utf8" }).trim(), "postgres");
    const args = ["-D", data, "-k", there, "-c", "listen_addresses=", "-c", "fsync=off", "-p", "5432"];
    const server = spawn(postgres, args, { stdio: ["ignore", "ignore", "pipe"], ...nobody });
    later(async () => {
      server.kill("SIGINT");
      await once(server, "exit");
    });
    let log = "";
    server.stderr.on("data", (text) => {
      log += text;
    });
    await until(() => log.includes("ready to accept connections"));
    const { port } = await startServer();
    await startClient(port, ["-L", `unix:${join(here, name)}=unix:${join(there, name)}`]);
    const ask = (sql: string) => runProgram(psql!, ["-h", here, "-U", "tester", "-d", "postgres", "-Atc", sql]);
    expect(await ask("select 6 * 7")).toBe("42\n");
    expect((await ask("select repeat('x', 5000000)")).length).toBe(5_000_001);
    expect(await ask("create table t as select * from generate_series(1, 20000) i; select sum(i) from t")).toContain(
      "200010000",
    );
  });
});

describe.skipIf(noNetwork || redis === null || redisCli === null)("Redis over a network that loses 5 %", () => {
  it("stores and gives back, one by one and in bulk", async () => {
    const folder = folderLater();
    const [there, here] = ["there.sock", "here.sock"].map((name) => join(folder, name));
    const args = ["--port", "0", "--unixsocket", there, "--save", "", "--dir", folder];
    const server = spawn(redis!, args, { stdio: "ignore" });
    later(() => server.kill("SIGKILL"));
    await until(() => existsSync(there));
    await startNetwork(["-L", `unix:${here}=unix:${there}`], { lossPercent: 5 });
    const ask = (...words: string[]) => runProgram(redisCli!, ["-s", here, ...words]);
    expect(await ask("SET", "name", "edge-1")).toBe("OK\n");
    expect(await ask("GET", "name")).toBe("edge-1\n");
    const value = "v".repeat(100_000);
    const words = (...list: string[]) =>
      `*${list.length}\r\n${list.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
    const commands = Array.from({ length: 100 }, (_, i) => words("SET", `key:${i}`, `${value}${i}`)).join("");
    const file = join(folder, "commands");
    writeFileSync(file, commands);
    expect(await runProgram("sh", ["-c", `${redisCli} -s ${here} --pipe < ${file}`])).toContain(
      "errors: 0, replies: 100",
    );
    expect(await ask("GET", "key:99")).toBe(`${value}99\n`);
    expect(await ask("DBSIZE")).toBe("101\n");
  });
});

describe.skipIf(noNetwork || sshd === null || scp === null)("scp over a network that loses 5 %", () => {
  it("copies a file there and back again", async () => {
    const folder = folderLater();
    const at = (name: string) => join(folder, name);
    for (const key of ["host", "user"]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(key)]);
    // Where it keeps its unprivileged half.
    mkdirSync("/run/sshd", { recursive: true });
    const settings = [
      "Port 22",
      "ListenAddress 127.0.0.1",
      `HostKey ${at("host")}`,
      `AuthorizedKeysFile ${at("user.pub")}`,
      "PermitRootLogin prohibit-password",
      "PasswordAuthentication no",
      "StrictModes no",
      "PidFile none",
      "Subsystem sftp internal-sftp",
    ];
    writeFileSync(at("sshd_config"), settings.map((line) => `${line}\n`).join(""));
    const { network } = await startNetwork(["-L", "tcp:127.0.0.1:2222=tcp:127.0.0.1:22"], { lossPercent: 5 });
    const server = spawn("ip", ["netns", "exec", network.cloud, sshd!, "-D", "-e", "-f", at("sshd_config")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    later(() => server.kill("SIGKILL"));
    let log = "";
    server.stderr.on("data", (text) => {
      log += text;
    });
    await until(() => log.includes("Server listening"));
    const content = randomBytes(5_000_000);
    writeFileSync(at("file"), content);
    const trust = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "BatchMode=yes"];
    const options = ["-P", "2222", "-i", at("user"), ...trust.flatMap((option) => ["-o", option])];
    const copy = (from: string, to: string) =>
      runProgram("ip", ["netns", "exec", network.edge, scp!, ...options, from, to]);
    await copy(at("file"), `root@127.0.0.1:${at("there")}`);
    expect(readFileSync(at("there")).equals(content)).toBe(true);
    await copy(`root@127.0.0.1:${at("there")}`, at("back"));
    expect(readFileSync(at("back")).equals(content)).toBe(true);
  });
});
