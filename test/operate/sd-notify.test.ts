import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadLibc, NativeMemory } from "../../src/native/libc.ts";
import { notifySystemd } from "../../src/operate/sd-notify.ts";
import { createFolder } from "../proxy/local.ts";

const libc = await loadLibc();

describe("word to systemd", () => {
  it.skipIf(typeof libc === "string").each(["path", "abstract"])("arrives as one datagram (%s)", async (kind) => {
    if (typeof libc === "string") return;
    const folder = createFolder();
    const path = join(folder.path, "notify.sock");
    const name = Buffer.from(kind === "path" ? path : `\0${path}`);
    const address = new NativeMemory(libc, 110);
    address.view.setUint16(0, 1, true);
    address.bytes.set(name, 2);
    const fd = libc.socket(1, 2, 0);
    expect(libc.bind(fd, address.address, 2 + name.length + (kind === "path" ? 1 : 0))).toBe(0);
    await notifySystemd("READY=1", { NOTIFY_SOCKET: kind === "path" ? path : `@${path}` });
    const text = new NativeMemory(libc, 64);
    const length = libc.read(fd, text.address, 64);
    expect(Buffer.from(text.bytes.subarray(0, length)).toString()).toBe("READY=1");
    libc.close(fd);
    rmSync(path, { force: true });
    folder.remove();
  });

  it("is not sent where nobody asked for it, and no error where nobody listens", async () => {
    await notifySystemd("READY=1", {});
    await notifySystemd("READY=1", { NOTIFY_SOCKET: "/nonexistent/notify.sock" });
  });
});
