/** The user's commands of a tunnel, run by a real shell. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { TunnelHooks } from "../../src/tunnel/hooks.ts";
import { createFolder, silentLog, until } from "../proxy/local.ts";

const facts = () => ({ tun: "bats0", addresses: ["10.20.0.1/24", "fd20::1/64"], routes: [], mtu: 1400 });
/** Hooks that write to a file, and what is in it. */
function hooksWith(up: string, down: string, signal = new AbortController().signal) {
  const folder = createFolder();
  onTestFinished(() => folder.remove());
  const file = join(folder.path, "said");
  const command = (text: string) => `say() { echo "$@" >> ${file}; }; ${text}`;
  const hooks = new TunnelHooks({ up: command(up), down: command(down), facts, log: silentLog, signal });
  return { hooks, said: () => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : []) };
}

test("hooks know the interface, and run one after the other, whoever asks for them", async () => {
  const { hooks, said } = hooksWith("sleep 0.3; say up $BATS_TUN $BATS_MTU", "say down $BATS_ADDRESS");
  void hooks.up();
  void hooks.up();
  await hooks.down();
  expect(said()).toEqual(["up bats0 1400", "up bats0 1400", "down 10.20.0.1/24,fd20::1/64"]);
});

test("when the program is told to end, --up ends with all that it runs and does not begin again, and --down runs", async () => {
  const stop = new AbortController();
  const { hooks, said } = hooksWith("sleep 300 & say $!; wait", "say down", stop.signal);
  const up = hooks.up();
  await until(() => said().length > 0);
  const [pid] = said();
  stop.abort();
  await up;
  await hooks.up();
  await hooks.down();
  expect(said()).toEqual([pid, "down"]);
  // Where nobody has waited for it yet, it is a zombie.
  const isAlive = () => existsSync(`/proc/${pid}/stat`) && !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  await until(() => !isAlive());
});
