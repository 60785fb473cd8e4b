/**
 * The certificate files of a command: waited for while they do not exist yet, as on a node that has not joined, and read again when
 * they change. Files are polled: certificates come on mounts where no event arrives.
 */
import { statSync } from "node:fs";
import type { Log } from "../proxy/log.ts";
import { type CredentialSources, Credentials, CredentialsError } from "../tls/index.ts";
import { EXIT, UserError } from "./user-error.ts";

const WAIT_MS = 1000;
const WATCH_MS = 2000;

export interface CredentialPaths {
  ca: string;
  cert: string;
  key: string;
  crl?: string;
}

/** Resolves when all files are there and make sense; rejects with a `UserError` when they are there and do not. */
export async function loadCredentials(paths: CredentialPaths, log: Log, signal: AbortSignal): Promise<Credentials> {
  let said = "";
  for (;;) {
    signal.throwIfAborted();
    try {
      return new Credentials(sourcesOf(paths));
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      if (!error.missing) throw new UserError(exitCodeOf(error), error.message);
      if (error.message !== said) log.warn({}, `${error.message}: waiting for it`);
      said = error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

/** Loads the files again whenever they change; sessions that are open go on. Returns what ends that. */
export function watchCredentials(credentials: Credentials, paths: CredentialPaths, log: Log): () => void {
  let seen = versionOf(paths);
  let said = "";
  const timer = setInterval(() => {
    const version = versionOf(paths);
    if (version === seen) return;
    try {
      if (credentials.reload()) {
        log.info(
          { validTo: credentials.certificate.validTo },
          `certificates loaded again, valid until ${credentials.certificate.validTo}`,
        );
      }
      seen = version;
      said = "";
    } catch (error) {
      // Files of one set are replaced one after the other: tried again, on the old ones meanwhile.
      const { message } = error as Error;
      if (message !== said) log.warn({}, `certificates changed but cannot be used, the old ones stay: ${message}`);
      said = message;
    }
  }, WATCH_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function sourcesOf({ ca, cert, key, crl }: CredentialPaths): CredentialSources {
  return { ca, cert, key, ...(crl === undefined ? {} : { crl }) };
}

/** Changes whenever one of the files does; follows links, as those of Kubernetes' mounts. */
function versionOf({ ca, cert, key, crl }: CredentialPaths): string {
  return [ca, cert, key, ...(crl === undefined ? [] : [crl])]
    .map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat === undefined ? "none" : `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
    })
    .join();
}

/** A file that is no PEM is one thing, a certificate that has expired another. */
function exitCodeOf({ message }: CredentialsError): typeof EXIT.certificate | typeof EXIT.cannotStart {
  return /expired|not valid before|is not the key of/.test(message) ? EXIT.certificate : EXIT.cannotStart;
}
