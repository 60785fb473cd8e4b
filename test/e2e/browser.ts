/** Debian's Chromium without a window, which talks to nobody but the pages that a test opens; what a page complains of is kept. */
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Null, said once, where there is none. */
export const browserPath = PLACES.find(existsSync) ?? null;
if (browserPath === null) console.warn("skipped for want of it: chromium");

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: browserPath ?? "", args: FLAGS, chromiumSandbox: false });
}

export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 390, height: 844 };

/** A browser that draws without a graphics processor is slow to begin on a busy machine. */
const PATIENCE_MS = 80_000;

export interface OpenPage {
  page: Page;
  /** Errors of its console and exceptions that nobody caught. */
  complaints: string[];
  /** Addresses that it asked for. */
  requests: string[];
}

export async function openPage(
  browser: Browser,
  url: string,
  options: { viewport?: typeof PHONE; colorScheme?: "light" | "dark" } = {},
): Promise<OpenPage> {
  const page = await browser.newPage({ viewport: DESKTOP, ...options });
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => requests.push(request.url()));
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(url);
  return { page, complaints, requests };
}
