import { expect, test } from "vitest";
import { AddressSyntaxError } from "../../src/transport/host-port.ts";
import { networkOf, parseNetwork } from "../../src/tun/network.ts";
import { hostOf, parseAddressOrNetwork, parseTunnelRule, TunnelRules } from "../../src/tunnel/tunnel-rules.ts";

const own = ["10.20.0.1/24", "fd20::1/64"].map((text) => parseNetwork(text, "own"));
const rules = new TunnelRules(
  ["*=tun", "edge-1=tun:10.20.0.2", "edge-1=tun:192.168.7.0/24", "gate-*=tun:10.30.0.0/16"].map(
    (text) => parseTunnelRule(text)!,
  ),
  own,
);

function address(name: string, text: string): string | null {
  return rules.refusesAddress({ commonName: name, subjectAltNames: [] }, hostOf(parseAddressOrNetwork(text)));
}

function route(name: string, text: string): string | null {
  return rules.refusesRoute({ commonName: name, subjectAltNames: [] }, networkOf(parseAddressOrNetwork(text)));
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
  expect(route("edge-2", "192.168.7.0/24")).toMatch(/edge-2 is not allowed to have 192\.168\.7\.0\/24 routed to it/);
  expect(route("edge-2", "10.20.0.0/24")).toMatch(/is not allowed/);
});

test("a rule for something else is none for tunnels, and a malformed one is an error", () => {
  expect(parseTunnelRule("edge-1=tcp:127.0.0.1:80")).toBeNull();
  expect(parseTunnelRule("a=tun=unix:/run/x=tun")).toBeNull();
  for (const text of ["=tun", "edge-1=tun:10.20.0.300", "edge-1=tun:10.20.0.2/40", "edge-1=tun:"]) {
    expect(() => parseTunnelRule(text), text).toThrow(AddressSyntaxError);
  }
});
