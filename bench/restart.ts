/**
 * How soon forwards work again when the server is killed and started again: clients of the built `bats-proxy`, each with one forward of
 * TCP, default settings, loopback. Measured from the new server's first line to each client's first echo.
 *
 *     npm run bench:restart                  # 100 clients
 *     npm run bench:restart -- --clients 20
 *
 * The goal: all of them within 5 s.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { parseArgs } from "node:util";
import { Command, createCertificates } from "../test/cli/command.ts";

const GOAL_MS = 5000;
const GIVE_UP_MS = 60_000;
/** Processes started at once. */
const BATCH = 10;

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

function start(args: readonly string[]): Command {
  const command = new Command(args);
  commands.add(command);
  return command;
}

async function startServer(port: number): Promise<{ server: Command; port: number }> {
  const allow = ["--allow", `edge-1=${target}`];
  const server = start(["server", "--listen", `127.0.0.1:${port}`, ...certificates.of("localhost"), ...allow]);
  return { server, port: Number(/:(\d+),/.exec(await server.line(/serving on UDP/))![1]) };
}

async function startClient(port: number): Promise<number> {
  const forward = ["-L", `tcp:127.0.0.1:0=${target}`];
  const client = start(["client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...forward]);
  await client.line(/connected to/);
  return Number(/:(\d+) for/.exec(await client.line(/listening at/))![1]);
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
  const ports: number[] = [];
  while (ports.length < count) {
    const batch = Array.from({ length: Math.min(BATCH, count - ports.length) }, () => startClient(port));
    ports.push(...(await Promise.all(batch)));
  }
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
  await Promise.all([...commands].map((command) => command.kill()));
  echo.close();
  certificates.remove();
}
process.exit(missed ? 1 : 0);
