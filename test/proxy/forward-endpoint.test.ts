import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  expandIdentity,
  type Forward,
  type ForwardEndpoint,
  formatEndpoint,
  formatForward,
  parseEndpoint,
  parseForward,
} from "../../src/proxy/forward-endpoint.ts";
import { matchesPattern, pathSegment } from "../../src/proxy/identity.ts";
import { Permissions, parseRule } from "../../src/proxy/permissions.ts";

const port = fc.integer({ min: 1, max: 65_535 });
const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
const host = fc.oneof(
  fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join(".")),
  fc.ipV4(),
  fc.ipV6().map((ip) => ip.toLowerCase()),
  fc.constant("{identity}.nodes.local"),
);
const path = fc
  .array(fc.stringMatching(/^[A-Za-z0-9 =:*{}._é-]{1,8}$/), { minLength: 1, maxLength: 4 })
  .map((segments) => `/${segments.join("/")}`)
  .filter((text) => !/=(?:tcp|udp|unix):/.test(text) && Buffer.byteLength(text) <= 107);
const tcp: fc.Arbitrary<ForwardEndpoint> = fc.record({ kind: fc.constant("tcp"), host, port });
const udp: fc.Arbitrary<ForwardEndpoint> = fc.record({ kind: fc.constant("udp"), host, port });
const unix: fc.Arbitrary<ForwardEndpoint> = fc.record({ kind: fc.constant("unix"), path });
const stream = fc.oneof(tcp, unix);
const forward: fc.Arbitrary<Forward> = fc.oneof(
  fc.record({ listen: stream, target: stream }),
  fc.record({ listen: udp, target: udp }),
);

describe("endpoints", () => {
  it("come back from their text as they were", () => {
    fc.assert(
      fc.property(fc.oneof(tcp, udp, unix), (endpoint) => {
        expect(parseEndpoint(formatEndpoint(endpoint))).toEqual(endpoint);
      }),
    );
  });

  it("come back in pairs, as forwards", () => {
    fc.assert(
      fc.property(forward, (pair) => {
        expect(parseForward(formatForward(pair))).toEqual(pair);
      }),
    );
  });

  it("are whole or an error that quotes the text, whatever is written", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `tcp:${text}`),
          fc.string().map((text) => `unix:${text}`),
        ),
        (text) => {
          try {
            const endpoint = parseEndpoint(text);
            expect(parseEndpoint(formatEndpoint(endpoint))).toEqual(endpoint);
          } catch (error) {
            expect((error as Error).name).toBe("AddressSyntaxError");
            expect((error as Error).message.startsWith(JSON.stringify(text))).toBe(true);
          }
        },
      ),
    );
  });

  it("name what is wrong and what would be right", () => {
    const problem = (text: string, listen = false) => {
      try {
        return formatEndpoint(parseEndpoint(text, { listen }));
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(problem("http:a:80")).toBe(
      '"http:a:80": "http" is no kind of endpoint: write tcp:HOST:PORT, udp:HOST:PORT or unix:PATH',
    );
    expect(problem("tcp:80")).toContain("the host is missing");
    expect(problem("tcp:80", true)).toBe("tcp:127.0.0.1:80");
    expect(problem("tcp:a")).toContain("the port is missing");
    expect(problem("tcp:a:0")).toContain('"0" is no port: it is a number from 1 to 65535');
    expect(problem("tcp:a:65536")).toContain("from 1 to 65535");
    expect(problem("tcp:::1:80")).toContain("an IPv6 address stands in brackets: write [::1]:80");
    expect(problem("tcp:[::1:80")).toContain("not closed");
    expect(problem("tcp:a/b:80")).toContain("neither a host name nor an address");
    expect(problem("unix:")).toContain("the path is missing");
    expect(problem(`unix:/${"x".repeat(107)}`)).toContain("at most 107");
  });

  it("do not join datagrams and connections", () => {
    expect(() => parseForward("udp:127.0.0.1:1=tcp:127.0.0.1:1")).toThrow("both sides udp, or neither");
    expect(() => parseForward("tcp:127.0.0.1:1")).toThrow("LISTEN=TARGET");
  });

  it("say what was probably meant when their kind is missing", () => {
    const meant = (text: string) => expect(() => parseForward(text), text);
    meant("28093=28081").toThrow("kinds of its sides are missing: write tcp:28093=tcp:127.0.0.1:28081");
    meant("8080=tcp:a:80").toThrow("write tcp:8080=tcp:a:80");
    meant("tcp:8080=[::1]:80").toThrow("write tcp:8080=tcp:[::1]:80");
    meant("10.0.0.1:80=web.example:80").toThrow("write tcp:10.0.0.1:80=tcp:web.example:80");
    expect(() => parseRule("edge-1=10.0.0.1:80")).toThrow("its kind is missing: write tcp:10.0.0.1:80");
  });
});

describe("a peer's name in a path", () => {
  it("is one segment that is neither hidden nor above, and different names stay different", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), fc.string({ unit: "binary", minLength: 1 }), (a, b) => {
        const segment = pathSegment(a)!;
        expect(segment).toMatch(/^[A-Za-z0-9_:@%-][A-Za-z0-9._:@%-]*$/);
        const same = Buffer.from(a).equals(Buffer.from(b));
        expect(pathSegment(b) === segment).toBe(same);
      }),
    );
  });

  it("keeps the names that platforms give their nodes", () => {
    expect(pathSegment("system:node:edge-1.example")).toBe("system:node:edge-1.example");
    expect(pathSegment("../../etc/cron.d/x")).toBe("%2E.%2F..%2Fetc%2Fcron.d%2Fx");
    expect(pathSegment("")).toBe(null);
  });

  it("never leaves the folder that the rule names", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 20 }), (name) => {
        let expanded: ForwardEndpoint;
        try {
          expanded = expandIdentity({ kind: "unix", path: "/run/bats/{identity}.sock" }, pathSegment(name)!);
        } catch {
          return;
        }
        expect((expanded as { path: string }).path.split("/").slice(0, -1)).toEqual(["", "run", "bats"]);
      }),
    );
  });

  it("is refused in a host where it is no host name", () => {
    const endpoint = parseEndpoint("tcp:{identity}.nodes:80");
    expect(expandIdentity(endpoint, "edge-1")).toEqual({ kind: "tcp", host: "edge-1.nodes", port: 80 });
    expect(() => expandIdentity(endpoint, pathSegment("a/b")!)).toThrow("neither a host name nor an address");
  });
});

describe("patterns", () => {
  it("match as the same pattern does as a regular expression", () => {
    const text = fc.stringMatching(/^[ab*]{0,8}$/);
    fc.assert(
      fc.property(text, text, (pattern, subject) => {
        const expression = new RegExp(
          `^${pattern
            .split("*")
            .map((part) => part)
            .join("[^]*")}$`,
        );
        expect(matchesPattern(pattern, subject)).toBe(expression.test(subject));
      }),
    );
  });

  it("take no time to speak of on a pattern made to be slow", () => {
    expect(matchesPattern(`${"*a".repeat(50)}b`, "a".repeat(5000))).toBe(false);
  });
});

describe("rules", () => {
  const edge = { commonName: "system:node:edge-1", subjectAltNames: ["DNS:edge-1.example", "URI:spiffe://x/edge-1"] };
  const allows = (rule: string, endpoint: string, peer = edge) =>
    new Permissions([parseRule(rule)]).allows(peer, parseEndpoint(endpoint));

  it("allow nothing when there are none", () => {
    expect(new Permissions([]).allows(edge, parseEndpoint("tcp:127.0.0.1:80"))).toBe(false);
  });

  it("match a common name, an alternative name, and wildcards", () => {
    expect(allows("system:node:edge-1=tcp:127.0.0.1:80", "tcp:127.0.0.1:80")).toBe(true);
    expect(allows("system:node:*=tcp:127.0.0.1:80", "tcp:127.0.0.1:80")).toBe(true);
    expect(allows("*.example=tcp:127.0.0.1:80", "tcp:127.0.0.1:80")).toBe(true);
    expect(allows("spiffe://x/*=tcp:127.0.0.1:80", "tcp:127.0.0.1:80")).toBe(true);
    expect(allows("edge-1=tcp:127.0.0.1:80", "tcp:127.0.0.1:80")).toBe(false);
  });

  it("compare kind, host and port", () => {
    expect(allows("*=tcp:127.0.0.1:80", "tcp:127.0.0.1:81")).toBe(false);
    expect(allows("*=tcp:127.0.0.1:80", "udp:127.0.0.1:80")).toBe(false);
    expect(allows("*=tcp:127.0.0.1:*", "tcp:127.0.0.1:81")).toBe(true);
    expect(allows("*=tcp:*:80", "tcp:[::1]:80")).toBe(true);
    expect(allows("*=tcp:[::1]:80", "tcp:[::1]:80")).toBe(true);
    expect(allows("*=tcp:*", "tcp:anywhere:1")).toBe(true);
  });

  it("take a pattern of an address for addresses only: whoever owns a name says where it leads", () => {
    expect(allows("*=tcp:10.0.0.*:80", "tcp:10.0.0.7:80")).toBe(true);
    expect(allows("*=tcp:10.0.*.7:80", "tcp:10.0.3.7:80")).toBe(true);
    expect(allows("*=tcp:10.0.0.*:80", "tcp:10.0.0.evil.example:80")).toBe(false);
    expect(allows("*=tcp:10.*:80", "tcp:10.1:80")).toBe(false);
    expect(allows("*=tcp:1*:80", "tcp:1-evil.example:80")).toBe(false);
    expect(allows("*=tcp:[fd00:*]:80", "tcp:[fd00::1]:80")).toBe(true);
    expect(allows("*=tcp:*.example:80", "tcp:db.example:80")).toBe(true);
  });

  it("compare paths segment by segment", () => {
    expect(allows("*=unix:/run/*.sock", "unix:/run/a.sock")).toBe(true);
    expect(allows("*=unix:/run/*.sock", "unix:/run/a/b.sock")).toBe(false);
    expect(allows("*=unix:/run/*/s", "unix:/run/../s")).toBe(false);
  });

  it("put the peer's own name in place of {identity}", () => {
    const rule = "*=unix:/run/bats/{identity}.sock";
    expect(allows(rule, "unix:/run/bats/system:node:edge-1.sock")).toBe(true);
    expect(allows(rule, "unix:/run/bats/system:node:edge-2.sock")).toBe(false);
    expect(allows(rule, "unix:/run/bats/x.sock", { commonName: "*", subjectAltNames: [] })).toBe(false);
  });

  it("are refused when they are no rules", () => {
    for (const text of [
      "",
      "edge",
      "edge=",
      "=tcp:a:1",
      "edge=tcp:a",
      "edge=tcp:a:x",
      "edge=unix:/a/../b",
      "edge=ftp:a:1",
    ]) {
      expect(() => parseRule(text), text).toThrow(/"/);
    }
    expect(parseRule("a=tcp:[::1]:*").endpoint).toMatchObject({ kind: "tcp", place: "::1", port: "*" });
  });
});
