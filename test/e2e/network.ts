/**
 * An edge host and a cloud host on different networks, with a router between that loses packets or everything, each a network
 * namespace. The programs under test run in them; their Unix sockets are files, which tests reach from outside.
 *
 *      edge 10.78.1.2 --- 10.78.1.1 router 10.78.2.1 --- 10.78.2.2 cloud
 */
import { execFileSync } from "node:child_process";

export const CLOUD_IP = "10.78.2.2";

export class Network {
  readonly edge: string;
  readonly cloud: string;
  readonly #router: string;

  constructor() {
    const name = `e2e-${process.pid}`;
    [this.edge, this.cloud, this.#router] = ["edge", "cloud", "router"].map((host) => `${name}-${host}`);
    for (const host of [this.edge, this.cloud, this.#router]) {
      ip("netns", "add", host);
      ip("-n", host, "link", "set", "lo", "up");
    }
    this.#join(this.edge, 1);
    this.#join(this.cloud, 2);
    this.lose(0);
  }

  /** Packets of either direction that the router loses at random. At 100 it loses all, without a word to anybody. */
  lose(percent: number): void {
    const match = percent < 100 ? `numgen random mod 100 < ${percent}` : "";
    const rule = `meta l4proto udp ${match} drop`;
    const rules = `flush ruleset\ntable ip path {\nchain loss {\ntype filter hook forward priority 0;\n${rule};\n}\n}\n`;
    execFileSync("ip", ["netns", "exec", this.#router, "nft", "-f", "-"], { input: rules, stdio: "pipe" });
  }

  /** The edge gets another address, as when it changes to another network; the old one is gone. */
  moveEdge(): void {
    ip("-n", this.edge, "addr", "add", "10.78.1.77/24", "dev", "path");
    ip("-n", this.edge, "addr", "del", "10.78.1.2/24", "dev", "path");
    // Went with the address.
    ip("-n", this.edge, "addr", "replace", "10.78.1.77/24", "dev", "path");
    ip("-n", this.edge, "route", "replace", "default", "via", "10.78.1.1");
  }

  /** Takes the interface of a host away, or brings it back with what went with it. */
  setInterface(host: string, up: boolean): void {
    ip("-n", host, "link", "set", "path", up ? "up" : "down");
    if (up) ip("-n", host, "route", "replace", "default", "via", `10.78.${host === this.edge ? 1 : 2}.1`);
  }

  remove(): void {
    for (const host of [this.edge, this.cloud, this.#router]) ip("netns", "del", host);
  }

  #join(host: string, net: number): void {
    ip("-n", host, "link", "add", "path", "type", "veth", "peer", `to${net}`, "netns", this.#router);
    ip("-n", host, "addr", "add", `10.78.${net}.2/24`, "dev", "path");
    ip("-n", this.#router, "addr", "add", `10.78.${net}.1/24`, "dev", `to${net}`);
    ip("-n", host, "link", "set", "path", "up");
    ip("-n", this.#router, "link", "set", `to${net}`, "up");
    ip("-n", host, "route", "add", "default", "via", `10.78.${net}.1`);
    execFileSync("ip", ["netns", "exec", this.#router, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  }
}

/** Why there can be no such network here; null when there can. */
export function whyNoNetwork(): string | null {
  if (process.getuid?.() !== 0) return "needs root";
  try {
    new Network().remove();
    return null;
  } catch (error) {
    return `needs network namespaces, veth and nftables: ${(error as Error).message.split("\n")[0]}`;
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: "pipe" });
}
