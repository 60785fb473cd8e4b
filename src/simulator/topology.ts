/**
 * The networks most wanted, ready made. Each returns a `Network` to which more nodes and links can be added.
 */
import { checkInteger } from "./error.ts";
import type { LinkOptions } from "./link.ts";
import { type Link, Network, type NetworkOptions, type Node } from "./network.ts";

export interface TwoHostsOptions extends NetworkOptions {
  /** From a to b. */
  forward?: LinkOptions;
  /** From b to a. Default as `forward`. */
  backward?: LinkOptions;
}

export interface TwoHosts {
  network: Network;
  a: Node;
  b: Node;
  /** The bottleneck. */
  link: Link;
}

/** Two hosts and one link:  a ===== b */
export function createTwoHosts(options: TwoHostsOptions = {}): TwoHosts {
  const network = new Network(options);
  const a = network.addNode("a");
  const b = network.addNode("b");
  return { network, a, b, link: network.addLink(a, b, options.forward, options.backward) };
}

export interface LineOptions extends NetworkOptions {
  /** Number of links, from 1. */
  hops: number;
  /** Options of each hop in the direction away from node 0: the same for all, or by the hop's number from 0. */
  forward?: LinkOptions | ((hop: number) => LinkOptions);
  /** The same towards node 0. Default as `forward`. */
  backward?: LinkOptions | ((hop: number) => LinkOptions);
}

export interface Line {
  network: Network;
  /** hops + 1 nodes, named "0", "1" and so on. */
  nodes: Node[];
  links: Link[];
}

/** A line of hops:  0 ===== 1 ===== 2 ===== 3 */
export function createLine(options: LineOptions): Line {
  const hops = checkInteger("hops", options.hops, 1, 10_000, "hops");
  const network = new Network(options);
  const nodes = Array.from({ length: hops + 1 }, (_, i) => network.addNode(`${i}`));
  const pick = (of: LineOptions["forward"], hop: number) => (typeof of === "function" ? of(hop) : of);
  const links = Array.from({ length: hops }, (_, hop) =>
    network.addLink(
      nodes[hop],
      nodes[hop + 1],
      pick(options.forward, hop),
      pick(options.backward ?? options.forward, hop),
    ),
  );
  return { network, nodes, links };
}

export interface DumbbellOptions extends NetworkOptions {
  /** Number of pairs of hosts, from 1. */
  pairs: number;
  /** The shared link, left to right. */
  bottleneck?: LinkOptions;
  /** The shared link, right to left. Default as `bottleneck`. */
  bottleneckBackward?: LinkOptions;
  /** Each host's own link to its router, both ways: the same for all, or by the pair's number from 0. Default ideal. */
  access?: LinkOptions | ((pair: number) => LinkOptions);
}

export interface Dumbbell {
  network: Network;
  /** Hosts "left0", "left1" and so on. */
  left: Node[];
  /** Hosts "right0", "right1" and so on. */
  right: Node[];
  /** From router "west" to router "east". */
  bottleneck: Link;
}

/**
 * Pairs of hosts that share one bottleneck:
 *
 *     left0 ---.                    .--- right0
 *               west ======== east
 *     left1 ---'                    '--- right1
 */
export function createDumbbell(options: DumbbellOptions): Dumbbell {
  const pairs = checkInteger("pairs", options.pairs, 1, 10_000, "pairs");
  const network = new Network(options);
  const west = network.addNode("west");
  const east = network.addNode("east");
  const bottleneck = network.addLink(west, east, options.bottleneck, options.bottleneckBackward);
  const { access } = options;
  const host = (side: string, router: Node, pair: number): Node => {
    const node = network.addNode(`${side}${pair}`);
    network.addLink(node, router, typeof access === "function" ? access(pair) : access);
    return node;
  };
  const left = Array.from({ length: pairs }, (_, pair) => host("left", west, pair));
  const right = Array.from({ length: pairs }, (_, pair) => host("right", east, pair));
  return { network, left, right, bottleneck };
}
