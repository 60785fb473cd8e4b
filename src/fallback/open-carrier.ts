/**
 * Opens the client's end of a connection that carries datagrams: TLS 1.3 on TCP, with the same certificates and checks as sessions have. It
 * may be refused after it was opened, for in TLS 1.3 the client finishes first.
 */
import { isIP } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import type { Credentials } from "../tls/credentials.ts";
import { failureWords, wrongNameWords } from "../tls/failure-words.ts";
import { certificateName, certificateOf, hideChain, isFor } from "../tls/peer-chain.ts";

/** Application protocol of the connection, whatever is spoken inside. */
export const CARRIER_ALPN = "bats-datagrams/1";

export interface CarrierTarget {
  host: string;
  port: number;
  /** The name or address that the server's certificate must bear. */
  serverName: string;
  credentials: Credentials;
  timeoutMs: number;
}

/** Rejects with an error whose message says why, in words for an operator. */
export function openCarrier({ host, port, serverName, credentials, timeoutMs }: CarrierTarget): Promise<TLSSocket> {
  const name = certificateName(serverName);
  const { clientContext } = credentials.current;
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({
      host,
      port,
      secureContext: clientContext,
      servername: isIP(name) === 0 ? name : "",
      checkServerIdentity: () => {
        const certificate = certificateOf(socket);
        if (certificate === null) return new Error("the server showed no certificate");
        return isFor(name, certificate) ? undefined : new Error(wrongNameWords(name, certificate));
      },
      rejectUnauthorized: true,
      ALPNProtocols: [CARRIER_ALPN],
    });
    hideChain(socket);
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
    const onError = (error: Error): void => {
      clearTimeout(timer);
      reject(new Error(carrierWords(error), { cause: error }));
    };
    socket.once("error", onError);
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      socket.removeListener("error", onError);
      if (socket.alpnProtocol === CARRIER_ALPN) {
        resolve(socket);
        return;
      }
      socket.on("error", () => {});
      socket.destroy();
      reject(new Error("what answers there carries no datagrams: is it the port of the server's listenTls?"));
    });
  });
}

/** Why a connection failed, or ended. */
export function carrierWords(error: Error): string {
  const { code = "" } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "nothing listens there";
  if (/^ERR_SSL|^[A-Z]+_[A-Z_]+$/.test(code) && !code.startsWith("ERR_TLS_CERT_ALTNAME")) {
    return failureWords(error, "client", null);
  }
  return error.message;
}
