/** Numbers and names as people read them. Without DOM. */

/** A number that is not known. */
const UNKNOWN = "–";

export interface Unit {
  label: string;
  /** Of what is measured, in one of this unit. */
  size: number;
}

export type Kind = "rate" | "time" | "share" | "count";

const UNITS: Record<Kind, readonly Unit[]> = {
  rate: [
    { label: "bit/s", size: 1 },
    { label: "kbit/s", size: 1e3 },
    { label: "Mbit/s", size: 1e6 },
    { label: "Gbit/s", size: 1e9 },
  ],
  time: [
    { label: "ms", size: 1 },
    { label: "s", size: 1e3 },
  ],
  share: [{ label: "%", size: 0.01 }],
  count: [{ label: "", size: 1 }],
};

/** The largest unit of which `value` is at least one. */
export function unitOf(kind: Kind, value: number): Unit {
  const units = UNITS[kind];
  return units.findLast(({ size }) => value >= size) ?? units[0];
}

/** Three digits, or all of those before the point. */
function formatNumber(value: number): string {
  return Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toFixed(value < 10 ? 2 : 1);
}

export function formatValue(kind: Kind, value: number): string {
  if (Number.isNaN(value)) return UNKNOWN;
  const { label, size } = unitOf(kind, value);
  const number = kind === "share" ? (value / size).toFixed(1) : formatNumber(value / size);
  return label === "" ? number : `${number} ${label}`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${formatNumber(value)} ${units[unit]}`;
}

export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

export function formatClock(ms: number): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Names come from certificates: what would not be seen, or would turn the text around, is written out. */
export function visible(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}
