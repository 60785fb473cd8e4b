/**
 * The AEADs from OpenSSL's libcrypto (EVP interface) through koffi, an optional dependency with prebuilt binaries: in place,
 * nothing allocated for a packet. The libcrypto is the one that this process has already, inside the node binary or linked to
 * it; nobody promises that its symbols are there. Never another: two OpenSSLs in a process may take each other's functions.
 *
 * Memory is passed as plain addresses, because a view for each argument costs more than the call: every length is checked
 * before, and the memory of the packet is referenced by `bytes` for the time of the call.
 */
import { createRequire } from "node:module";
import type { Opener, Sealer } from "../transport/link/aead.ts";
import { TAG_BYTES } from "../transport/link/packet-header.ts";
import type { AeadImplementation, AeadName } from "./aead.ts";
import { writeNonce } from "./nonce.ts";

/** What is used of koffi. */
interface Koffi {
  load(path: string | null): { func(prototype: string): (...args: number[]) => number | bigint };
  address(value: Uint8Array): bigint;
  sizeof(type: string): number;
}

/** EVP_CTRL_AEAD_GET_TAG. */
const GET_TAG = 0x10;
const SEAL = 1;
const OPEN = 0;
/** For EVP_CipherInit_ex2: the direction stays. */
const KEEP = -1;

/**
 * Of `Libcrypto.scratch`: the nonce, what OpenSSL writes of lengths and of the rest, which is never any, and the parameters with which
 * opening begins: the tag (an OSSL_PARAM of 40 bytes, and zeros for the one that ends them), and its name.
 */
const NONCE_AT = 0;
const LENGTH_AT = 16;
const REST_AT = 32;
const PARAMETERS_AT = 128;
const TAG_NAME_AT = 256;
const SCRATCH_BYTES = 4096;
/** OSSL_PARAM_OCTET_STRING. */
const OCTET_STRING = 5;
/** Words from the start of an OSSL_PARAM, each as long as an address: name, type, address and length of the data, what was returned of them. */
const PARAMETER_TYPE = 1;
const PARAMETER_DATA = 2;
const PARAMETER_LENGTH = 3;

type Native = (...args: number[]) => number;

class Libcrypto {
  readonly newContext: Native;
  readonly freeContext: Native;
  readonly init: Native;
  readonly cipher: Native;
  readonly final: Native;
  readonly control: Native;
  readonly ciphers: Record<AeadName, number>;
  /** Its own memory, not on the garbage-collected heap, so that its address stays. */
  readonly scratch = new Uint8Array(new ArrayBuffer(SCRATCH_BYTES));
  readonly #words = new DataView(this.scratch.buffer);
  readonly scratchAddress: number;
  readonly #koffi: Koffi;
  readonly #wordBytes: number;
  // Packets that leave are made in one array, those of a burst lie in few buffers: the addresses of the last ones are kept.
  #bytes: Uint8Array = this.scratch;
  #bytesAddress = 0;
  #buffer: ArrayBufferLike = this.scratch.buffer;
  #address: number;
  #earlierBuffer: ArrayBufferLike = this.scratch.buffer;
  #earlierAddress: number;

  constructor(koffi: Koffi) {
    this.#koffi = koffi;
    this.#wordBytes = koffi.sizeof("void *");
    const library = koffi.load(null);
    // Addresses are below 2^53 on every platform that Node runs on, so numbers hold them; each prototype takes them as such.
    const native = (prototype: string): Native => library.func(prototype) as Native;
    this.newContext = native("uintptr_t EVP_CIPHER_CTX_new()");
    this.freeContext = native("void EVP_CIPHER_CTX_free(uintptr_t context)");
    this.init = native(
      "int EVP_CipherInit_ex2(uintptr_t context, uintptr_t cipher, uintptr_t key, uintptr_t iv, int seal, uintptr_t parameters)",
    );
    // EVP_CipherUpdate with less around it, which TLS uses for its records; -1 is failure.
    this.cipher = native("int EVP_Cipher(uintptr_t context, uintptr_t out, uintptr_t in, uint32_t inBytes)");
    this.final = native("int EVP_CipherFinal_ex(uintptr_t context, uintptr_t out, uintptr_t outBytes)");
    this.control = native("int EVP_CIPHER_CTX_ctrl(uintptr_t context, int type, int number, uintptr_t pointer)");
    this.ciphers = {
      "aes-128-gcm": Number(native("uintptr_t EVP_aes_128_gcm()")()),
      "chacha20-poly1305": Number(native("uintptr_t EVP_chacha20_poly1305()")()),
    };
    this.scratchAddress = Number(koffi.address(this.scratch));
    this.#address = this.scratchAddress;
    this.#earlierAddress = this.scratchAddress;
    this.#bytesAddress = this.scratchAddress;
    this.scratch.set([0x74, 0x61, 0x67, 0], TAG_NAME_AT);
    this.#setAddress(PARAMETERS_AT, this.scratchAddress + TAG_NAME_AT);
    this.#words.setUint32(PARAMETERS_AT + PARAMETER_TYPE * this.#wordBytes, OCTET_STRING, true);
    this.#words.setUint32(PARAMETERS_AT + PARAMETER_LENGTH * this.#wordBytes, TAG_BYTES, true);
  }

  /** Parameters that say that the tag is at `address`. */
  tagAt(address: number): number {
    this.#setAddress(PARAMETERS_AT + PARAMETER_DATA * this.#wordBytes, address);
    return this.scratchAddress + PARAMETERS_AT;
  }

  #setAddress(at: number, address: number): void {
    this.#words.setUint32(at, address >>> 0, true);
    if (this.#wordBytes === 8) this.#words.setUint32(at + 4, Math.floor(address / 2 ** 32), true);
  }

  /** Where `bytes` begins in memory: valid as long as `bytes.buffer` is neither detached nor collected. */
  addressOf(bytes: Uint8Array): number {
    if (bytes === this.#bytes) return this.#bytesAddress;
    this.#bytesAddress = this.#find(bytes);
    this.#bytes = bytes;
    return this.#bytesAddress;
  }

  #find(bytes: Uint8Array): number {
    const buffer = bytes.buffer;
    if (buffer !== this.#buffer) {
      const known = buffer === this.#earlierBuffer;
      const address = known ? this.#earlierAddress : Number(this.#koffi.address(new Uint8Array(buffer)));
      this.#earlierBuffer = this.#buffer;
      this.#earlierAddress = this.#address;
      this.#buffer = buffer;
      this.#address = address;
    }
    return this.#address + bytes.byteOffset;
  }
}

class OpensslAead implements Sealer, Opener {
  readonly #library: Libcrypto;
  readonly #iv: Uint8Array;
  readonly #context: number;

  constructor(library: Libcrypto, aead: AeadName, key: Uint8Array, iv: Uint8Array, direction: number) {
    this.#library = library;
    this.#iv = iv.slice();
    this.#context = Number(library.newContext());
    if (this.#context === 0) throw new Error("OpenSSL has no memory for a cipher context");
    contexts.register(this, { library, context: this.#context });
    const { scratch, scratchAddress } = library;
    scratch.set(key, REST_AT);
    const done = library.init(this.#context, library.ciphers[aead], scratchAddress + REST_AT, 0, direction, 0);
    scratch.fill(0, REST_AT, REST_AT + key.length);
    if (done !== 1) throw new Error(`OpenSSL does not do ${aead}`);
  }

  seal(bytes: Uint8Array, start: number, headerBytes: number, end: number, packetNumber: number): void {
    const payload = start + headerBytes;
    if (!(start >= 0 && headerBytes >= 0 && payload <= end && end + TAG_BYTES <= bytes.length)) {
      throw new RangeError(`cannot seal ${start}, ${payload}, ${end} of ${bytes.length} bytes: no room for the tag`);
    }
    const library = this.#library;
    const context = this.#context;
    const address = library.addressOf(bytes);
    const lengthAt = library.scratchAddress + LENGTH_AT;
    writeNonce(library.scratch, NONCE_AT, this.#iv, packetNumber);
    const done =
      library.init(context, 0, 0, library.scratchAddress + NONCE_AT, KEEP, 0) === 1 &&
      library.cipher(context, 0, address + start, headerBytes) >= 0 &&
      library.cipher(context, address + payload, address + payload, end - payload) >= 0 &&
      library.final(context, library.scratchAddress + REST_AT, lengthAt) === 1 &&
      library.control(context, GET_TAG, TAG_BYTES, address + end) === 1;
    if (!done) throw new Error("OpenSSL could not seal a packet");
  }

  open(bytes: Uint8Array, headerBytes: number, packetNumber: number): boolean {
    const end = bytes.length - TAG_BYTES;
    if (!(headerBytes >= 0 && headerBytes <= end)) return false;
    const library = this.#library;
    const context = this.#context;
    const address = library.addressOf(bytes);
    const payload = address + headerBytes;
    const lengthAt = library.scratchAddress + LENGTH_AT;
    writeNonce(library.scratch, NONCE_AT, this.#iv, packetNumber);
    return (
      library.init(context, 0, 0, library.scratchAddress + NONCE_AT, KEEP, library.tagAt(address + end)) === 1 &&
      library.cipher(context, 0, address, headerBytes) >= 0 &&
      library.cipher(context, payload, payload, end - headerBytes) >= 0 &&
      library.final(context, library.scratchAddress + REST_AT, lengthAt) === 1
    );
  }
}

const contexts = new FinalizationRegistry(({ library, context }: { library: Libcrypto; context: number }) =>
  library.freeContext(context),
);

/** Null where koffi is not installed or the process shows no libcrypto. */
export function loadOpensslAead(): AeadImplementation | null {
  try {
    const library = new Libcrypto(createRequire(import.meta.url)("koffi") as Koffi);
    return {
      name: "openssl",
      aeads: ["aes-128-gcm", "chacha20-poly1305"],
      sealer: (aead, key, iv) => new OpensslAead(library, aead, key, iv, SEAL),
      opener: (aead, key, iv) => new OpensslAead(library, aead, key, iv, OPEN),
    };
  } catch {
    return null;
  }
}
