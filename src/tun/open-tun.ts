/** Opens a TUN device: checks the options, attaches to the kernel's device, configures it. Errors say what to do. */
import { closeSync, constants, openSync } from "node:fs";
import { userInfo } from "node:os";
import { errnoName, type Libc, loadLibc, NativeMemory } from "../native/libc.ts";
import { LinuxTun } from "./linux-tun.ts";
import { type Network, parseNetwork } from "./network.ts";
import { TunConfiguration } from "./tun-configuration.ts";
import { checkMtu, type TunDevice, TunError, type TunOffloads, type TunOptions } from "./tun-device.ts";
import { VIRTIO_HEADER_BYTES } from "./virtio-header.ts";

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;

const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_TSO_ECN = 0x08;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;
const TCP_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
const UDP_OFFLOADS = TUN_F_USO4 | TUN_F_USO6;

const NAME_BYTES = 16;
/** `struct ifreq`: a name, and a union of which flags take two bytes. */
const IFREQ_BYTES = 40;

const CLONE_DEVICE = "/dev/net/tun";

/** Rejects with a TunError. Needs CAP_NET_ADMIN, or a device that an administrator made for this user. */
export async function openTun(options: TunOptions): Promise<TunDevice> {
  const { name, offload = true } = options;
  checkName(name);
  checkMtu(options.mtu);
  const addresses = (options.addresses ?? []).map((text) => parseNetwork(text, "an address of the TUN device"));
  const routes = (options.routes ?? []).map((text) => parseNetwork(text, "a route over the TUN device"));
  const libc = await loadLibc();
  if (typeof libc === "string") {
    throw new TunError(`TUN devices do not work here: ${libc}`, "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM");
  }
  const configuration = new TunConfiguration(libc, name);
  let fd = -1;
  try {
    const existed = configuration.exists();
    fd = openClone();
    const kernelName = attach(libc, fd, name, offload, existed);
    const offloads = offload ? setOffloads(libc, fd) : { tcp: false, udp: false };
    configuration.begin(kernelName, !existed);
    configure(configuration, options.mtu, addresses, routes);
    return new LinuxTun(libc, fd, offload, offloads, configuration);
  } catch (error) {
    configuration.undo();
    if (fd >= 0) closeSync(fd);
    throw error;
  }
}

function configure(
  configuration: TunConfiguration,
  mtu: number | undefined,
  addresses: readonly Network[],
  routes: readonly Network[],
): void {
  if (mtu !== undefined) configuration.setMtu(mtu);
  for (const address of addresses) configuration.addAddress(address);
  configuration.setUp();
  for (const route of routes) configuration.addRoute(route);
}

function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes >= NAME_BYTES || /[\s/:\0]/.test(name) || name === "." || name === "..") {
    throw new TunError(
      `the TUN device's name is ${JSON.stringify(name)} (${bytes} bytes), ` +
        `wanted 1 to ${NAME_BYTES - 1} bytes without spaces, "/" and ":"`,
      "ERR_INVALID_ARG_VALUE",
    );
  }
}

function openClone(): number {
  try {
    return openSync(CLONE_DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const missing = code === "ENOENT" || code === "ENODEV" || code === "ENXIO";
    const why = missing
      ? `there is no ${CLONE_DEVICE}: load it (modprobe tun) or, in a container, pass it in (--device ${CLONE_DEVICE})`
      : code === "EACCES" || code === "EPERM"
        ? `this user may not open ${CLONE_DEVICE}: its mode should be 0666, in a container it has to be passed in`
        : `${CLONE_DEVICE} cannot be opened`;
    throw new TunError(`cannot open a TUN device: ${why} (${code})`, code, error);
  }
}

/** Makes the device, or takes over one that is there; the name that it has. */
function attach(libc: Libc, fd: number, name: string, virtioHeader: boolean, existed: boolean): string {
  const request = new NativeMemory(libc, IFREQ_BYTES);
  request.bytes.set(Buffer.from(name));
  request.view.setUint16(NAME_BYTES, IFF_TUN | IFF_NO_PI | (virtioHeader ? IFF_VNET_HDR : 0), true);
  if (libc.ioctl(fd, TUNSETIFF, request.address) < 0) {
    const code = errnoName(libc.errno());
    throw new TunError(
      `cannot ${existed ? "take over" : "make"} the TUN device ${name}: ${why(code, name, existed)} (${code})`,
      code,
    );
  }
  if (virtioHeader) {
    const size = new NativeMemory(libc, 8);
    size.view.setInt32(0, VIRTIO_HEADER_BYTES, true);
    libc.ioctl(fd, TUNSETVNETHDRSZ, size.address);
  }
  const bytes = request.bytes.subarray(0, NAME_BYTES);
  return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString();
}

function why(code: string, name: string, existed: boolean): string {
  switch (code) {
    case "EPERM":
      return existed
        ? "it belongs to another user, and taking it anyway needs CAP_NET_ADMIN"
        : "that needs CAP_NET_ADMIN: run as root, or let an administrator make the device for you " +
            `(ip tuntap add dev ${name} mode tun user ${userInfo().username})`;
    case "EBUSY":
      return "another program has it: stop that, or choose another name";
    case "EINVAL":
      return existed
        ? "an interface has that name and is no TUN device with a single queue: choose another name"
        : "the kernel does not take that name";
    default:
      return "the kernel refuses";
  }
}

/** Asks for all offloads, then for less. Older kernels lack those for UDP (before 6.2). */
function setOffloads(libc: Libc, fd: number): TunOffloads {
  if (libc.ioctl(fd, TUNSETOFFLOAD, BigInt(TCP_OFFLOADS | UDP_OFFLOADS)) === 0) return { tcp: true, udp: true };
  if (libc.ioctl(fd, TUNSETOFFLOAD, BigInt(TCP_OFFLOADS)) === 0) return { tcp: true, udp: false };
  libc.ioctl(fd, TUNSETOFFLOAD, 0n);
  return { tcp: false, udp: false };
}
