/** What runs beside a server or client so that it can be operated: `--metrics`, `--dashboard`, `--trace`, word to systemd. */
import { closeSync, readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { openTraceFile } from "../endpoint/trace-file.ts";
import { Monitor } from "../operate/monitor.ts";
import { notifySystemd } from "../operate/sd-notify.ts";
import { type StatusAddress, startStatusServer } from "../operate/status-server.ts";
import { LocalSocketError } from "../proxy/local-socket.ts";
import type { Log } from "../proxy/log.ts";
import { parseListenAddress } from "../transport/host-port.ts";
import type { Role } from "./configuration.ts";
import type { OptionFault } from "./option-faults.ts";
import { type CommonOptions, reading } from "./options.ts";
import { EXIT, UserError } from "./user-error.ts";

export interface OperationsOptions {
  metrics?: StatusAddress;
  dashboard?: boolean;
  trace?: string;
}

export interface Operations {
  readonly monitor: Monitor;
  /** Counts what it logs. */
  readonly log: Log;
  /** The proxy does what it can. */
  started(): void;
  /** It takes no more. */
  stopping(): void;
  close(): void;
}

export const { version: VERSION } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string };

export function addOperationsOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--metrics <[host:]port>",
        "HTTP with /metrics, /status, /healthz and /readyz, for whoever reaches it; or unix:PATH",
      ).argParser(reading(parseStatusAddress)),
    )
    .option("--dashboard", "a live page at / of the address of --metrics")
    .option(
      "--trace <file>",
      "what limits a transfer, as lines of JSON added to that file (default: that of BATS_TRACE)",
    );
}

export function operationsFaults({ metrics, dashboard = false }: OperationsOptions): OptionFault[] {
  return dashboard && metrics === undefined ? [{ key: "dashboard", message: "say where with --metrics" }] : [];
}

/** A port alone is one of the loopback address. */
export function parseStatusAddress(text: string): StatusAddress {
  if (text.startsWith("unix:")) return { path: text.slice("unix:".length) };
  const { host, port } = parseListenAddress(text);
  return { host: host === "" ? "127.0.0.1" : host, port };
}

export async function startOperations(
  role: Role,
  { metrics, dashboard = false, trace, unixMode }: OperationsOptions & Pick<CommonOptions, "unixMode">,
  log: Log,
): Promise<Operations> {
  const traceFile = trace === undefined ? null : openTrace(trace);
  const monitor = new Monitor(role, VERSION);
  const server =
    metrics === undefined
      ? null
      : await startStatusServer(metrics, { monitor, dashboard, unixMode }).catch((error: Error) => {
          throw error instanceof LocalSocketError
            ? new UserError(EXIT.cannotStart, `--metrics: ${error.message}`)
            : error;
        });
  if (server !== null) log.info({ url: server.url }, `metrics and status at ${server.url}${dashboard ? "/" : ""}`);
  return {
    monitor,
    log: server === null ? log : monitor.observe(log),
    started: () => {
      monitor.listening = true;
      void notifySystemd("READY=1");
    },
    stopping: () => {
      monitor.listening = false;
      void notifySystemd("STOPPING=1");
    },
    close: () => {
      server?.close();
      if (traceFile !== null) closeSync(traceFile);
    },
  };
}

/**
 * Has the transport trace to that file. Opens it, too: the trace itself could say too late, and to nobody, that it has none; and whoever
 * reads a FIFO reads on while one socket is closed and no other open.
 */
function openTrace(trace: string): number {
  try {
    const file = openTraceFile(trace);
    // The transport reads it when a socket is opened, in whichever program.
    process.env.BATS_TRACE = trace;
    return file;
  } catch (error) {
    throw new UserError(EXIT.cannotStart, `--trace: ${(error as Error).message}`);
  }
}
