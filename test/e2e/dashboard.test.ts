/** The dashboard in Debian's Chromium: at a real server with a forward, and with statuses of our making. */
import { once } from "node:events";
import { connect } from "node:net";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatBytes } from "../../src/operate/dashboard/format.ts";
import type { Monitor } from "../../src/operate/monitor.ts";
import type { SessionStatus, Status } from "../../src/operate/status.ts";
import { type StatusServer, startStatusServer } from "../../src/operate/status-server.ts";
import { sessionStatus, statusOf } from "../operate/fake-proxy.ts";
import { browserPath, launchBrowser, openPage, PHONE } from "./browser.ts";
import { later, serve, start, startClient, theCertificates } from "./rig.ts";

let browser: Browser;

beforeAll(async () => {
  if (browserPath !== null) browser = await launchBrowser();
});
afterAll(() => browser?.close());

/** A status server that shows these sessions, as they are when it is asked. */
async function show(sessions: SessionStatus[], values: Partial<Status> = {}, port = 0): Promise<StatusServer> {
  const monitor = { status: () => statusOf(sessions, { nowMs: Date.now(), ...values }) } as unknown as Monitor;
  const server = await startStatusServer({ host: "127.0.0.1", port }, { monitor, dashboard: true, unixMode: 0o600 });
  later(() => server.close());
  return server;
}

async function open(url: string, options: Parameters<typeof openPage>[2] = {}) {
  const opened = await openPage(browser, url, options);
  later(() => opened.page.close());
  return opened;
}

/** How much wider the page is than the window. */
function overflow(page: Page): Promise<number> {
  return page.evaluate("document.documentElement.scrollWidth - window.innerWidth");
}

function textOf(page: Page, selector: string): Promise<string> {
  return page.locator(selector).innerText();
}

/** The value of a series of /metrics. */
async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`bats_proxy_${name}`));
  return Number(line?.split(" ").at(-1));
}

describe.skipIf(browserPath === null)("the dashboard of a server with a forward", () => {
  it("shows what /metrics says, over time, and talks to nobody else", async () => {
    const target = await serve((socket) => socket.pipe(socket));
    const rules = ["--allow", "*=tcp:127.0.0.1:*", "--metrics", "0", "--dashboard"];
    const server = start(["server", "--listen", "127.0.0.1:0", ...theCertificates().of("localhost"), ...rules]);
    const url = /http:\S+\d/.exec(await server.line(/metrics and status at/))![0];
    const port = Number(/:(\d+),/.exec(await server.line(/serving on UDP/))![1]);
    const { page, complaints, requests } = await open(url);
    await page.getByText("No session is open. Nodes appear here").waitFor();

    const { ports } = await startClient(port, ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`]);
    const socket = connect(ports[0], "127.0.0.1");
    socket.on("error", () => {}).resume();
    const sending = setInterval(() => socket.write(Buffer.alloc(20_000)), 20);
    await page
      .locator("#subject", { hasText: "edge-1" })
      .or(page.locator("td .name", { hasText: "edge-1" }))
      .first()
      .waitFor();
    // A figure of what flows just now, in both directions.
    for (const tile of ["To peers", "From peers"]) {
      await page
        .locator("#tiles div", { hasText: tile })
        .getByText(/^[1-9][\d.]* [kM]bit\/s$/)
        .waitFor();
    }
    clearInterval(sending);
    await expect.poll(() => metric(url, "peer_sent_bytes_total")).toBeGreaterThanOrEqual(socket.bytesWritten);
    const sent = formatBytes(await metric(url, "peer_sent_bytes_total"));
    const received = formatBytes(await metric(url, "peer_received_bytes_total"));
    await page.getByText(`${sent} to the peer, ${received} from it`).waitFor();
    expect(await textOf(page, "#tiles div:has-text('Forwards') dd:first-of-type")).toBe("1");
    expect(await metric(url, "peer_forwards")).toBe(1);
    const shownMs = Number.parseFloat(await page.locator("figure:has-text('Round trip') b").nth(1).innerText());
    expect(shownMs).toBeGreaterThan(0);

    const charts = page.locator("#charts figure");
    expect(await charts.count()).toBe(6);
    for (const title of ["Goodput", "Round trip", "Loss", "Redundancy", "Forwards", "Pacing"]) {
      const chart = page.locator("#charts figure", { hasText: title });
      // A line of several samples, and numbers at its axes.
      const line = () => chart.locator("path.line").first().getAttribute("d");
      await expect.poll(line, { message: title, timeout: 10_000 }).toMatch(/^M[\d. ]+L[\d. ]+L/);
      expect(await chart.locator("svg text").count(), title).toBeGreaterThan(4);
    }
    const goodput = page.locator("figure:has-text('Goodput') svg");
    expect(await goodput.textContent()).toMatch(/[kM]bit\/s/);
    const box = (await goodput.boundingBox())!;
    await page.mouse.move(box.x + box.width - 20, box.y + 50);
    expect(await page.locator(".cross").count()).toBe(6);
    expect(await page.locator("figure .detail").first().innerText()).toMatch(/^\d\d:\d\d:\d\d$/);

    socket.destroy();
    await once(socket, "close");
    await page.locator("#tiles div:has-text('Forwards')", { hasText: "1 done" }).waitFor();
    expect(complaints).toEqual([]);
    expect([...new Set(requests.filter((one) => !one.startsWith("data:")))].sort()).toEqual([
      `${url}/`,
      `${url}/status`,
    ]);
  });
});

describe.skipIf(browserPath === null)("the dashboard", () => {
  const fleet = Array.from({ length: 1000 }, (_, i) =>
    sessionStatus(i + 1, { rttMs: 10 + (i % 90), lossRate: i === 700 ? 0.3 : 0.01, bytesSent: i }),
  );

  it("shows a thousand sessions, worst first, in a bounded page that finds each of them", async () => {
    const sessions = fleet.map((session) => ({ ...session }));
    sessions[499].state = "suspended";
    const { page, complaints } = await open((await show(sessions)).url);
    const rows = page.locator("tbody tr");
    await rows.first().waitFor();
    expect(await rows.count()).toBe(50);
    expect(await page.evaluate("document.querySelectorAll('*').length")).toBeLessThan(3000);
    expect(await textOf(page, "tbody tr:first-child td:first-child")).toContain("edge-500");
    expect(await textOf(page, "tbody tr:first-child")).toContain("does not answer");
    expect(await textOf(page, "tbody tr:nth-child(2)")).toContain("edge-701");
    expect(await textOf(page, "#tiles")).toContain("1 not answering");
    await page.getByRole("button", { name: "Next" }).click();
    expect(await textOf(page, "#where")).toBe("51 to 100 of 1000");

    await page.getByRole("button", { name: "Identity" }).click();
    expect(await textOf(page, "tbody tr:nth-child(2) .name")).toBe("edge-2");
    await page.locator("#search").fill("edge-99");
    expect(await rows.count()).toBe(11);
    await page.locator("#search").fill("");
    await page.locator("#selection").selectOption("suspended");
    expect(await rows.count()).toBe(1);
    await rows.first().click();
    expect(await textOf(page, "#subject")).toBe("edge-500");
    // The page's address leads there again.
    await page.reload();
    await page.locator("#subject", { hasText: "edge-500" }).waitFor();
    expect(await rows.count()).toBe(1);
    await page.getByRole("button", { name: "All sessions" }).click();
    expect(await textOf(page, "#subject")).toBe("All sessions");
    expect(complaints).toEqual([]);
  });

  it("is read on a phone without scrolling sideways, whatever the names are", async () => {
    const names = [
      "<img src=x onerror=document.title='owned'>",
      "W".repeat(300),
      "edge\u202eline\u0007",
      "</script><b>bold",
    ];
    const sessions = names.map((peer, i) => sessionStatus(i + 1, { peer }));
    const { page, complaints } = await open((await show(sessions)).url, { viewport: PHONE });
    await page.locator("tbody tr").first().waitFor();
    expect(await overflow(page)).toBe(0);
    expect((await page.locator(".name").allInnerTexts()).sort()).toEqual(
      ["edge\\u{202e}line\\u{7}", ...names.filter((name) => !name.includes("line"))].sort(),
    );
    for (const row of await page.locator("tbody tr").all()) {
      await row.click();
      expect(await overflow(page)).toBe(0);
    }
    expect(await page.locator("main img, main b b, main script").count()).toBe(0);
    expect(await page.title()).not.toContain("owned");
    expect(complaints).toEqual([]);
  });

  it("says that the proxy does not answer, and goes on when it is back", async () => {
    const first = await show(fleet.slice(0, 2));
    const { page } = await open(first.url);
    await page.locator("tbody tr").first().waitFor();
    first.close();
    await page
      .getByRole("alert")
      .getByText(/No answer from this proxy for \d+ s; what is below is from/)
      .waitFor();
    expect(await textOf(page, "#state")).toBe("no answer");
    await show(fleet.slice(4, 7), { startedMs: 5000 }, Number(new URL(first.url).port));
    await page.getByRole("alert").waitFor({ state: "hidden" });
    expect(await page.locator(".name").allInnerTexts()).toEqual(["edge-7", "edge-6", "edge-5"]);
    expect(await textOf(page, "#about")).toContain("started anew");
  });

  it("says why there is nothing to see", async () => {
    const { page } = await open((await show([], { role: "client", ready: false })).url);
    await page.getByText("No session is open: no server has been reached yet").waitFor();
    expect(await textOf(page, "#state")).toBe("not ready");
    expect(await page.getByText("nothing measured yet").count()).toBeGreaterThan(0);
  });

  it("is light or dark as the system is, until somebody says otherwise", async () => {
    const { url } = await show(fleet.slice(0, 1));
    const ground = (page: Page) => page.evaluate("getComputedStyle(document.body).backgroundColor");
    const light = await open(url, { colorScheme: "light" });
    const dark = await open(url, { colorScheme: "dark" });
    const colours = [await ground(light.page), await ground(dark.page)];
    expect(colours[0]).not.toBe(colours[1]);
    await light.page.locator("#theme").click();
    await light.page.locator("#theme").click();
    expect(await ground(light.page)).toBe(colours[1]);
    await light.page.reload();
    expect(await ground(light.page)).toBe(colours[1]);
  });
});
