/**
 * How soon forwards work again when the server of the built `bats-proxy` is killed and started again: clients with one forward of TCP each,
 * several in one process (`clients.ts`), default settings, loopback. Measured from when the new server takes clients to each client's
 * first echo.
 *
 *     npm run bench:restart                  # 100 clients
 *     npm run bench:restart -- --clients 20
 *
 * The goal: all of them within 5 s.
 */
import { parseArgs } from "node:util";
import { Fleet } from "./fleet.ts";

const GOAL_S = 5;
/** The command's default. */
const KEEP_ALIVE_MS = 3000;

const { values } = parseArgs({ options: { clients: { type: "string", default: "100" } } });
const count = Number(values.clients);

const fleet = await Fleet.prepare(count, KEEP_ALIVE_MS);
let missed = true;
try {
  await fleet.start();
  const { servingMs } = await fleet.restart();
  const seconds = (await fleet.times(servingMs)).map((atMs) => (atMs - servingMs) / 1000);
  const [half, most] = [seconds[count >> 1], seconds[count - 1]];
  missed = most > GOAL_S;
  console.log(
    `${count} clients: half work again after ${half.toFixed(1)} s, all after ${most.toFixed(1)} s; goal ${GOAL_S} s${missed ? ": missed" : ""}`,
  );
} finally {
  await fleet.close();
}
process.exit(missed ? 1 : 0);
