/**
 * How soon forwards work again when the server of the built `bats-proxy` is killed and started again: clients with one forward of TCP each,
 * several in one process (`restart-clients.ts`), default settings, loopback. Measured from the new server's first line to each client's first echo.
 *
 *     npm run bench:restart                  # 100 clients
 *     npm run bench:restart -- --clients 20
 *
 * The goal: all of them within 5 s.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { parseArgs } from "node:util";
import { Command, createCertificates } from "../test/cli/command.ts";
import type { ClientsOptions } from "./restart-clients.ts";

const GOAL_MS = 5000;
const GIVE_UP_MS = 60_000;
const PROCESSES = 4;

const { values } = parseArgs({ options: { clients: { type: "string", default: "100" } } });
const count = Number(values.clients);

const certificates = await createCertificates();
const echo = createServer((socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
}).listen(0, "127.0.0.1");
await once(echo, "listening");
const target = `tcp:127.0.0.1:${(echo.address() as AddressInfo).port}`;
const commands = new Set<Command>();
const workers: ChildProcess[] = [];

function start(args: readonly string[]): Command {
  const command = new Command(args);
  commands.add(command);
  return command;
}

async function startServer(port: number): Promise<{ server: Command; port: number }> {
  // All clients have one certificate.
  const allow = ["--allow", `edge-1=${target}`, "--max-sessions-per-identity", "65536"];
  const server = start(["server", "--listen", `127.0.0.1:${port}`, ...certificates.of("localhost"), ...allow]);
  return { server, port: Number(/:(\d+),/.exec(await server.line(/serving on UDP/))![1]) };
}

/** A process with clients; where their forwards listen. */
async function startClients(clients: number, port: number): Promise<number[]> {
  const worker = fork(new URL("restart-clients.ts", import.meta.url));
  workers.push(worker);
  const [, ca, , cert, , key] = certificates.of("edge-1");
  worker.send({ clients, server: `localhost:${port}`, target, ca, cert, key } satisfies ClientsOptions);
  const [ports] = await once(worker, "message");
  return ports;
}

/** Whether one connection gets its echo. */
function works(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.write("?");
    socket.once("data", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}

/** Tries until one connection works; when that was. */
async function recovery(port: number, startMs: number): Promise<number> {
  while (performance.now() - startMs < GIVE_UP_MS) {
    if (await works(port)) return performance.now() - startMs;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return Number.POSITIVE_INFINITY;
}

let missed = true;
try {
  const { server, port } = await startServer(0);
  const shares = Array.from({ length: PROCESSES }, (_, i) => Math.floor((count + i) / PROCESSES));
  const ports = (await Promise.all(shares.map((share) => startClients(share, port)))).flat();
  if ((await Promise.all(ports.map(works))).includes(false)) throw new Error("a forward does not work to begin with");
  await server.kill();
  await startServer(port);
  const startMs = performance.now();
  const times = (await Promise.all(ports.map((one) => recovery(one, startMs)))).sort((a, b) => a - b);
  const [half, most] = [times[count >> 1], times[count - 1]];
  missed = most > GOAL_MS;
  console.log(
    `${count} clients: half work again after ${(half / 1000).toFixed(1)} s, all after ${(most / 1000).toFixed(1)} s; goal 5 s${missed ? ": missed" : ""}`,
  );
} finally {
  for (const worker of workers) worker.kill("SIGKILL");
  await Promise.all([...commands].map((command) => command.kill()));
  echo.close();
  certificates.remove();
}
process.exit(missed ? 1 : 0);
