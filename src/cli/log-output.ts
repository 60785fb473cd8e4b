/**
 * The command's log, on standard error: a line of text an event for people, or a JSON object a line for machines. pino writes
 * the JSON; the text is made of it here, in a dozen lines, where pino-pretty would be a dependency of the size of pino.
 */
import { pino } from "pino";
import type { Log } from "../proxy/log.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export const LOG_FORMATS = ["text", "json"] as const;

export interface LogOptions {
  logLevel: (typeof LOG_LEVELS)[number];
  logFormat: (typeof LOG_FORMATS)[number];
}

export function createLog({ logLevel, logFormat }: LogOptions): Log {
  const options = {
    level: logLevel,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (level: string) => ({ level }) },
  };
  const destination = pino.destination({ fd: 2, sync: true });
  if (logFormat === "json") return pino(options, destination);
  return pino(options, { write: (line: string) => destination.write(`${formatLine(line)}\n`) });
}

/** Control characters are shown, not obeyed: names and messages of peers stand in it. */
export function formatLine(json: string): string {
  const { time, level, msg } = JSON.parse(json) as { time: string; level: string; msg: string };
  return `${time} ${level.padEnd(5)} ${escapeControls(msg)}`;
}

export function escapeControls(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
