/**
 * A session of this package's transport between two nodes: the code that runs in production from the session down to the datagram,
 * with no socket below it and no certificates in it. Computing takes no virtual time, and hosts are never late.
 */
import { Arena } from "../../gf/index.ts";
import { formatAddress } from "../../transport/address.ts";
import { ControlCoder, Link, type Role } from "../../transport/link/index.ts";
import type { Session } from "../../transport/session/session.ts";
import type { Network } from "../network.ts";
import { TransportEnd } from "./end.ts";
import { LinkAcceptor, LinkHolder, type SimulatedLinkOptions, simulatedLink } from "./link-holder.ts";
import { checkEnds, createCongestion, createSession, linkTuning, type TransportOptions } from "./options.ts";

/** The two ends of a session. */
export interface TransportPair {
  client: TransportEnd;
  server: TransportEnd;
}

/**
 * Connects a client at `from` with a server at `to`. Both may be written to at once; what is written leaves when they are connected.
 * Throws a SimulatorOptionError for bad options.
 *
 * @example
 * const { network, a, b } = createTwoHosts({ forward: { rateMbps: 100, delayMs: 50, loss: 0.1 } });
 * const { client } = connectTransport(network, { from: a, to: b, redundancy: "throughput" });
 * client.sendBulk();
 * network.run(20_000);
 * console.log(client.stats().goodputMbps);
 */
export function connectTransport(network: Network, options: TransportOptions): TransportPair {
  const startMs = checkEnds(network, options);
  const tuning = linkTuning(options);
  // Only to check it: links make their own.
  createCongestion(options, () => 0);
  const arena = new Arena();
  const coder = new ControlCoder({ arena });
  const near = createSession(options, true, arena);
  const far = createSession(options, false, arena);

  /** With randomness of its own, so that no two links act in step. */
  const link = (role: Role, end: TransportEnd, session: Session): SimulatedLinkOptions => {
    const random = network.random(`transport ${role} ${formatAddress(end.socket.localAddress)}`);
    return {
      ...tuning,
      user: session,
      session: session.localParameters,
      congestion: createCongestion(options, () => random.next()),
      coder,
      random: (bytes) => {
        for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
      },
    };
  };
  const acceptor = new LinkAcceptor((remote, nowMs) =>
    simulatedLink("server", remote, nowMs, link("server", server, far)),
  );
  const holder = new LinkHolder();
  const server = new TransportEnd(network, options.to, far, acceptor);
  const client = new TransportEnd(network, options.from, near, holder);
  client.peer = server;
  server.peer = client;
  network.at(startMs, (nowMs) => {
    // Where the server is by now, as the network sees it.
    const remote = server.socket.outerAddress;
    holder.link = new Link(simulatedLink("client", remote, nowMs, link("client", client, near)));
  });
  return { client, server };
}
