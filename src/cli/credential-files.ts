/**
 * The certificate files of a command: waited for while they do not exist yet, as on a node that has not joined, and read again when
 * they change. Files are polled: certificates come on mounts where no event arrives.
 */
import type { Log } from "../proxy/log.ts";
import { type CredentialSources, Credentials, CredentialsError, type CredentialsErrorCode } from "../tls/index.ts";
import type { Role } from "./configuration.ts";
import { fileVersion } from "./file-version.ts";
import { EXIT, type ExitCode, UserError } from "./user-error.ts";

const WAIT_MS = 1000;
const WATCH_MS = 2000;

export interface CredentialPaths {
  ca: string;
  cert: string;
  key: string;
  crl?: string;
}

export interface LoadOptions {
  /** The part that they play. */
  role: Role;
  log: Log;
  signal: AbortSignal;
  /** Files that do not exist are not waited for. */
  failFast?: boolean;
}

/** Resolves when all files are there and make sense; rejects with a `UserError` when they are there and do not. */
export async function loadCredentials(
  paths: CredentialPaths,
  { role, log, signal, failFast = false }: LoadOptions,
): Promise<Credentials> {
  let said = "";
  for (;;) {
    signal.throwIfAborted();
    try {
      const credentials = new Credentials(sourcesOf(paths));
      credentials.useAs(role);
      if (!credentials.current.isOwnCa) log.warn({}, foreignIssuer(credentials));
      return credentials;
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      if (error.code !== "missing" || failFast) throw new UserError(exitCodeOf(error), credentialsWords(error));
      if (error.message !== said) log.warn({}, `${error.message}: waiting for it`);
      said = error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

/** Loads the files again whenever they change; sessions that are open go on, but for those that a CRL names. Returns what ends that. */
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

/** Changes whenever one of the files does. */
function versionOf({ ca, cert, key, crl }: CredentialPaths): string {
  return [ca, cert, key, ...(crl === undefined ? [] : [crl])].map(fileVersion).join();
}

/** Checks files without a wait. Throws a `CredentialsError`; returns what is worth knowing of those that are good. */
export function checkCredentials(paths: CredentialPaths, role: Role): string {
  const credentials = new Credentials(sourcesOf(paths));
  credentials.useAs(role);
  const { validTo } = credentials.certificate;
  return `its certificate is valid until ${validTo}${credentials.current.isOwnCa ? "" : `; ${foreignIssuer(credentials)}`}`;
}

function foreignIssuer({ certificate }: Credentials): string {
  const issuer = certificate.issuer.replaceAll("\n", ", ");
  return `the certificate was not issued by an authority of --ca: the other end's --ca must have its issuer, ${issuer}`;
}

export function credentialsWords({ code, message }: CredentialsError): string {
  return code === "wrong-use" ? `${message}; \`bats-proxy pki issue\` makes one, for a server with --server` : message;
}

const CERTIFICATE_FAULTS: readonly CredentialsErrorCode[] = ["expired", "not-yet-valid", "other-key", "wrong-use"];

/** A file that is no PEM is one thing, a certificate that has expired another. */
export function exitCodeOf({ code }: CredentialsError): ExitCode {
  return CERTIFICATE_FAULTS.includes(code) ? EXIT.certificate : EXIT.cannotStart;
}
