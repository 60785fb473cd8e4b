/** Where to bind a UDP socket and how large its buffers shall be: settled, without defaults. */
export interface BindOptions {
  readonly ip: string;
  readonly port: number;
  /** For an IPv6 address: whether IPv4 stays outside. */
  readonly ipv6Only: boolean;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
}
