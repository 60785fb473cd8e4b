import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddressSyntaxError, parseHostPort, parseListenAddress } from "../../src/transport/host-port.ts";

describe("a host and port", () => {
  it("are read, names in lower case, IPv6 addresses without their brackets", () => {
    expect(parseHostPort("Cloud.Example:4433")).toEqual({ host: "cloud.example", port: 4433 });
    expect(parseHostPort("192.0.2.1:1")).toEqual({ host: "192.0.2.1", port: 1 });
    expect(parseHostPort("[2001:DB8::1]:65535")).toEqual({ host: "2001:db8::1", port: 65_535 });
    expect(parseHostPort("[fe80::1%eth0]:1")).toEqual({ host: "fe80::1%eth0", port: 1 });
  });

  it("may lack the host where one listens, and the port may be any", () => {
    for (const [text, host] of [
      ["4433", ""],
      [":4433", ""],
      ["*:4433", ""],
      ["[::]:4433", "::"],
      ["localhost:4433", "localhost"],
    ]) {
      expect(parseListenAddress(text), text).toEqual({ host, port: 4433 });
    }
    expect(parseListenAddress("0.0.0.0:0")).toEqual({ host: "0.0.0.0", port: 0 });
  });

  it("say what would be right when they are wrong", () => {
    for (const [text, problem] of [
      ["cloud", "the port is missing: write HOST:PORT"],
      ["4433", "the host is missing: write HOST:PORT"],
      [":4433", "the host is missing: write a name or an address before the port"],
      ["::1:4433", "an IPv6 address stands in brackets: write [::1]:4433"],
      ["[::1:4433", "the bracket of the IPv6 address is not closed: write [2001:db8::1]:443"],
      ["[::1]4433", "the port is missing: write [::1]:PORT"],
      ["[::xyz]:1", 'brackets are for IPv6 addresses, "::xyz" is none: write it without'],
      ["a/b:1", '"a/b" is neither a host name nor an address'],
      ["a:0", '"0" is no port: it is a number from 1 to 65535'],
      ["a:65536", '"65536" is no port: it is a number from 1 to 65535'],
    ]) {
      expect(() => parseHostPort(text), text).toThrow(`${JSON.stringify(text)}: ${problem}`);
    }
  });

  it("are read, or an error that names the text, whatever it is", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[[\]:0-9a-f.*-]+$/)), fc.boolean(), (text, listens) => {
        try {
          const { port } = (listens ? parseListenAddress : parseHostPort)(text);
          expect(port).toBeGreaterThanOrEqual(listens ? 0 : 1);
        } catch (error) {
          expect(error).toBeInstanceOf(AddressSyntaxError);
          expect((error as AddressSyntaxError).message).toContain(JSON.stringify(text));
        }
      }),
    );
  });
});
