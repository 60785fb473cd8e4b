/**
 * `bats-transport/simulator`: a deterministic discrete-event network simulator in virtual time. Over it run this package's transport
 * (`connectTransport`), TCP cross traffic (`startTcpFlow`) and any protocol endpoint without I/O (`Endpoint`); links lose, delay,
 * reorder, double and damage packets; runs leave traces and plots. Times are milliseconds, rates Mbit/s (10^6 bits a second), sizes
 * bytes on IP level unless a name says else. Bad options throw a `SimulatorOptionError` with field, value and limit. See
 * docs/simulator.md.
 */
export type { LinkTuning } from "../api/link-options.ts";
export type { SessionOptions } from "../api/session-options.ts";
export type { CongestionChoice } from "../congestion/index.ts";
export { type Address, formatAddress, sameAddress, udpHeaderBytes } from "../transport/address.ts";
export type { EcnCodepoint, Endpoint, ReceivedDatagram, Transmit } from "../transport/endpoint.ts";
export type { CloseCause, CloseReason } from "../transport/link/index.ts";
export type { DatagramOptions } from "../transport/session/datagram-sender.ts";
export type { RedundancyOptions, RedundancyPreset } from "../transport/session/redundancy.ts";
export type { SessionErrorCode } from "../transport/session/session-error.ts";
export type { MessageOptions, SessionEvent, StreamOptions } from "../transport/session/session-options.ts";
export type { TransportStats } from "../transport/stats.ts";
export { SimulatorOptionError } from "./error.ts";
export type { JitterOptions, LinkCounters, LinkDirection, LinkOptions, Tally } from "./link.ts";
export { type BurstLoss, type GilbertElliottLoss, ListedLoss, type LossModel, type LossOptions } from "./loss.ts";
export {
  type AttachAddress,
  type Link,
  Network,
  type NetworkCounters,
  type NetworkOptions,
  type Node,
  type NodeOptions,
} from "./network.ts";
export type { DropCause, PacketEvent, PacketObserver } from "./observer.ts";
export type { Packet } from "./packet.ts";
export { type PlotOptions, plotTimeSeries } from "./plot.ts";
export type { PolicerOptions } from "./policer.ts";
export { Random } from "./random.ts";
export type { RateStep } from "./schedule.ts";
export { meanOf, rateMbps, type Sampler, type SeriesDefinition, sample, type TimeSeries } from "./series.ts";
export type { AddressChange, Socket, SocketCounters } from "./socket.ts";
export { startTcpFlow, type TcpFlow, type TcpFlowOptions } from "./tcp/flow.ts";
export type { TcpSenderCounters, TcpState } from "./tcp/sender.ts";
export {
  createDumbbell,
  createLine,
  createTwoHosts,
  type Dumbbell,
  type DumbbellOptions,
  type Line,
  type LineOptions,
  type TwoHosts,
  type TwoHostsOptions,
} from "./topology.ts";
export { type Trace, type TraceOptions, traceJson, traceRecord } from "./trace.ts";
export { connectTransport, type TransportPair } from "./transport/connect.ts";
export type { TransportEnd, TransportEndStats } from "./transport/end.ts";
export type { TransportOptions } from "./transport/options.ts";
export { transportSeries } from "./transport/series.ts";
