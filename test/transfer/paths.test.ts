import { posix } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPartialName, partialOf, pathFault, showPath, staysInside } from "../../src/transfer/paths.ts";

const name = fc
  .oneof(
    fc.uint8Array({ minLength: 1, maxLength: 255 }),
    fc.constantFrom("..", ".", "", "a", "...", "..a", "C:", "\\").map((text) => Buffer.from(text)),
  )
  .map((bytes) => Buffer.from(bytes));
const path = fc
  .array(name, { minLength: 1, maxLength: 5 })
  .map((names) => Buffer.from(names.map((bytes) => bytes.toString("latin1")).join("/"), "latin1"));

describe("a path that the other end names", () => {
  it("that passes stays below the folder, and is what it seems", () => {
    fc.assert(
      fc.property(path, (bytes) => {
        if (pathFault(bytes) !== null) return;
        const text = bytes.toString("latin1");
        expect(posix.join("/folder", text)).toBe(`/folder/${text}`);
        expect(text).not.toContain("\0");
      }),
    );
  });

  it.each([
    ["", /no name/],
    ["/etc/passwd", /absolute/],
    ["..", /"\.\."/],
    ["a/../../b", /"\.\."/],
    ["a/./b", /"\."/],
    ["a//b", /empty name/],
    ["a/", /empty name/],
    ["a\0b", /zero byte/],
    [`a/${"x".repeat(256)}`, /256 bytes; 255 is the most/],
    ["x/".repeat(2001), /4002 bytes; 4000 is the most/],
    ["a/.b.bats-part", /unfinished/],
    [".B.BATS-PART", /unfinished/],
  ])("is refused: %j", (text, words) => {
    expect(pathFault(Buffer.from(text))).toMatch(words);
  });

  it("may have any other bytes in it", () => {
    for (const text of ["...", ".hidden", "a b", "ü/é", "new\nline", "-rf", "~", "C:\\x", "a/b/c"]) {
      expect(pathFault(Buffer.from(text), "linux")).toBe(null);
    }
    expect(pathFault(Buffer.of(0xff, 0xfe, 0x2f, 0x80), "linux")).toBe(null);
  });

  it("is refused on Windows when it would lead elsewhere there", () => {
    for (const text of ["C:x", "a\\..\\b", "nul", "COM1.txt", "a/aux.c", "dot.", "stream:x", "space ", "tab\t"]) {
      expect(pathFault(Buffer.from(text), "win32"), text).toMatch(/Windows/);
    }
    expect(pathFault(Buffer.from("ünï/console.txt"), "win32")).toBe(null);
  });
});

describe("a symbolic link", () => {
  it.each([
    ["a", "b"],
    ["a/b", "../c/d"],
    ["a/b/c", "../../x"],
    ["a", "."],
    ["a", "./b//c/"],
  ])("inside: %s to %s", (at, to) => {
    expect(staysInside(Buffer.from(at), Buffer.from(to))).toBe(true);
  });

  it.each([
    ["a", ""],
    ["a", "/etc"],
    ["a", ".."],
    ["a/b", "../.."],
    ["a/b", "../../folder/x"],
    // p being a link to ".", p/.. is above the folder.
    ["a", "p/.."],
    ["a", "b\0c"],
  ])("outside: %s to %j", (at, to) => {
    expect(staysInside(Buffer.from(at), Buffer.from(to))).toBe(false);
  });
});

describe("the name of an unfinished file", () => {
  it("stands in the same folder, is no longer than a name may be, is its own, and cannot be sent", () => {
    fc.assert(
      fc.property(path, path, (one, other) => {
        if (pathFault(one, "linux") !== null || pathFault(other, "linux") !== null) return;
        const partial = partialOf(one);
        const last = partial.subarray(partial.lastIndexOf(0x2f) + 1);
        expect(partial.lastIndexOf(0x2f)).toBe(one.lastIndexOf(0x2f));
        expect(last.length).toBeLessThanOrEqual(255);
        expect(isPartialName(last)).toBe(true);
        expect(pathFault(partial)).not.toBe(null);
        expect(partialOf(other).equals(partial)).toBe(other.equals(one));
      }),
    );
    const long = (end: string) => partialOf(Buffer.from(`d/${"x".repeat(250)}${end}`)).toString();
    expect(long("1")).not.toBe(long("2"));
  });
});

it("paths are shown as text, and what is none as bytes", () => {
  expect(showPath(Buffer.from("ü/a\n\x1b"))).toBe("ü/a\\x0a\\x1b");
  expect(showPath(Buffer.of(0x61, 0xff, 0x62))).toBe("a\\xffb");
});
