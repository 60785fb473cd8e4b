import { expect, test } from "vitest";
import { AddressSyntaxError } from "../../src/transport/host-port.ts";
import { networkOf, parseNetwork } from "../../src/tun/network.ts";
import { hostOf, parseAddressOrNetwork, parseTunnelRule, TunnelRules } from "../../src/tunnel/tunnel-rules.ts";

const own = ["10.20.0.1/24", "fd20::1/64"].map((text) => parseNetwork(text, "own"));
const rules = rulesOf("*=tun", "edge-1=tun:10.20.0.2", "edge-1=tun:192.168.7.0/24", "gate-*=tun:10.30.0.0/16");

function rulesOf(...texts: string[]): TunnelRules {
  return new TunnelRules(
    texts.map((text) => parseTunnelRule(text)!),
    own,
  );
}

function address(name: string, text: string, by = rules): string | null {
  return by.refusesAddress({ commonName: name, subjectAltNames: [] }, hostOf(parseAddressOrNetwork(text)));
}

function route(name: string, text: string, by = rules): string | null {
  return by.refusesRoute({ commonName: name, subjectAltNames: [] }, networkOf(parseAddressOrNetwork(text)));
}

test("any free address of the server's networks is for everyone whom a rule without address names", () => {
  expect(address("edge-9", "10.20.0.9/24")).toBeNull();
  expect(address("edge-9", "fd20::9/64")).toBeNull();
  expect(address("edge-9", "10.20.0.1/24")).toBe("10.20.0.1 is the server's own address");
  expect(address("edge-9", "10.20.0.0/24")).toMatch(/means no single host of 10\.20\.0\.1\/24/);
  expect(address("edge-9", "10.20.0.255/24")).toMatch(/means no single host/);
  expect(address("edge-9", "10.21.0.9/24")).toMatch(
    /in no network of the server's tunnel: the server needs --allow 'edge-9=tun:10\.21\.0\.9'/,
  );
});

test("an address that a rule gives to someone is for no one else", () => {
  expect(address("edge-1", "10.20.0.2/24")).toBeNull();
  expect(address("edge-2", "10.20.0.2/24")).toBe("10.20.0.2 is kept for edge-1");
  expect(address("gate-1", "10.30.4.4")).toBeNull();
});

test("networks are routed to those whom a rule gives them, or a part of them", () => {
  expect(route("edge-1", "192.168.7.0/24")).toBeNull();
  expect(route("edge-1", "192.168.7.128/25")).toBeNull();
  expect(route("edge-1", "192.168.0.0/16")).toMatch(/the server needs --allow 'edge-1=tun:192\.168\.0\.0\/16'/);
  expect(route("edge-2", "192.168.7.0/24")).toBe("192.168.7.0/24 is kept for edge-1");
  expect(route("edge-2", "10.20.0.0/24")).toMatch(/is not allowed/);
});

test("of the rules for what is asked for the most precise decide alone, and others get nothing of theirs", () => {
  const nested = rulesOf(
    ...["*=tun", "edge-1=tun:10.20.0.64/26", "gate=tun:0.0.0.0/0", "*=tun:10.40.0.0/16"],
    ...["edge-1=tun:10.40.0.2", "edge-3=tun:10.40.0.2"],
  );
  expect(address("edge-1", "10.20.0.70", nested)).toBeNull();
  expect(address("edge-2", "10.20.0.70", nested)).toBe("10.20.0.70 is kept for edge-1");
  expect(address("edge-2", "10.20.0.7", nested)).toBeNull();
  expect(address("edge-2", "10.50.0.7", nested)).toBe("10.50.0.7 is kept for gate");
  expect(address("edge-2", "10.40.0.3", nested)).toBeNull();
  expect(address("edge-2", "10.40.0.2", nested)).toBe("10.40.0.2 is kept for edge-1, edge-3");
  expect(address("edge-3", "10.40.0.2", nested)).toBeNull();
  expect(route("edge-2", "10.40.0.2/32", nested)).toBe("10.40.0.2/32 is kept for edge-1, edge-3");
  expect(route("edge-2", "10.40.7.0/24", nested)).toBeNull();
  expect(route("gate", "10.20.0.64/27", nested)).toBe("10.20.0.64/27 is kept for edge-1");
  expect(route("gate", "0.0.0.0/0", nested)).toBeNull();
});

test("a part of a network is apart from it where the rules give that part to someone, or it is an address of the server's", () => {
  const nested = rulesOf("*=tun:192.168.0.0/16", "edge-2=tun:192.168.9.0/24", "gate=tun:0.0.0.0/0");
  const isApart = (inner: string, outer: string) =>
    nested.isApart(parseAddressOrNetwork(inner), parseAddressOrNetwork(outer));
  expect(isApart("192.168.7.5", "192.168.7.0/24")).toBe(false);
  expect(isApart("192.168.7.128/25", "192.168.0.0/16")).toBe(false);
  expect(isApart("192.168.9.5", "192.168.0.0/16")).toBe(true);
  expect(isApart("192.168.9.5", "192.168.9.0/24")).toBe(false);
  expect(isApart("192.168.7.5", "0.0.0.0/0")).toBe(true);
  expect(isApart("10.20.0.9", "10.20.0.0/24")).toBe(true);
  expect(isApart("10.20.0.9", "10.20.0.0/25")).toBe(false);
});

test("the server's own address is for no one, whatever the rules give", () => {
  const all = rulesOf("*=tun:0.0.0.0/0", "*=tun:fd20::1");
  expect(address("gate", "10.20.0.1", all)).toBe("10.20.0.1 is the server's own address");
  expect(route("gate", "10.20.0.1/32", all)).toBe("10.20.0.1/32 is the server's own address");
  expect(route("gate", "fd20::1/128", all)).toBe("fd20::1/128 is the server's own address");
  expect(route("gate", "10.20.0.0/24", all)).toBeNull();
});

test("a rule for something else is none for tunnels, and a malformed one is an error", () => {
  expect(parseTunnelRule("edge-1=tcp:127.0.0.1:80")).toBeNull();
  expect(parseTunnelRule("a=tun=unix:/run/x=tun")).toBeNull();
  for (const text of ["=tun", "edge-1=tun:10.20.0.300", "edge-1=tun:10.20.0.2/40", "edge-1=tun:"]) {
    expect(() => parseTunnelRule(text), text).toThrow(AddressSyntaxError);
  }
  expect(() => parseTunnelRule("edge-1=tun:foo")).toThrow('"foo" is neither an address nor a network, as 10.20.0.2');
});
