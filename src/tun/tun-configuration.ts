/**
 * What was set on an interface, and how to take it back. A device made here takes all with it when it goes, however the program
 * ends; on one that was there before, addresses, routes, MTU and that it is up are taken back by `undo`.
 */
import { type Libc, NativeMemory } from "../native/libc.ts";
import { type Network, networkOf } from "./network.ts";
import { NetlinkError, Rtnetlink } from "./rtnetlink.ts";
import { TunError } from "./tun-device.ts";

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCGIFMTU = 0x8921;
const SIOCGIFINDEX = 0x8933;
const IFF_UP = 1;
const NAME_BYTES = 16;

export class TunConfiguration {
  name: string;
  created = false;
  mtu = 0;
  readonly #libc: Libc;
  readonly #request: NativeMemory;
  #netlink: Rtnetlink | null = null;
  #index = 0;
  readonly #undo = new Map<string, (netlink: Rtnetlink) => void>();

  constructor(libc: Libc, name: string) {
    this.#libc = libc;
    this.#request = new NativeMemory(libc, 64);
    this.name = name;
  }

  /** Whether there is an interface of that name. */
  exists(): boolean {
    return this.#ask(SIOCGIFINDEX) !== null;
  }

  /** From here on the interface is there. `created`: it will go by itself. */
  begin(name: string, created: boolean): void {
    this.name = name;
    this.created = created;
    this.#index = this.#ask(SIOCGIFINDEX) ?? 0;
    this.mtu = this.#ask(SIOCGIFMTU) ?? 1500;
    this.#netlink = new Rtnetlink(this.#libc);
  }

  setMtu(mtu: number): void {
    const before = this.mtu;
    if (mtu === before) return;
    this.#do("set the MTU of", `ip link set dev ${this.name} mtu ${mtu}`, (netlink) =>
      netlink.setMtu(this.#index, mtu),
    );
    this.mtu = mtu;
    if (!this.#undo.has("mtu")) this.#undo.set("mtu", (netlink) => netlink.setMtu(this.#index, before));
  }

  /** Null where that cannot be asked. */
  get isUp(): boolean | null {
    const flags = this.#ask(SIOCGIFFLAGS);
    return flags === null ? null : (flags & IFF_UP) !== 0;
  }

  setUp(): void {
    if (this.isUp) return;
    this.#do("switch on", `ip link set dev ${this.name} up`, (netlink) => netlink.setUp(this.#index));
    this.#undo.set("up", (netlink) => netlink.setDown(this.#index));
  }

  /** Does nothing, and needs no privilege, if the interface has the address. */
  addAddress(network: Network): void {
    const command = `ip address add ${network.text} dev ${this.name}`;
    if (this.#do("see the addresses of", command, (netlink) => netlink.hasAddress(this.#index, network))) return;
    try {
      this.#do(`put ${network.text} on`, command, (netlink) => netlink.addAddress(this.#index, network));
    } catch (error) {
      if ((error as TunError).code === "EEXIST") return;
      throw error;
    }
    this.#undo.set(`address ${network.text}`, (netlink) => netlink.removeAddress(this.#index, network));
  }

  addRoute(network: Network): void {
    const to = networkOf(network);
    this.#do(`route ${network.text} over`, `ip route add ${network.text} dev ${this.name}`, (netlink) =>
      netlink.addRoute(this.#index, to),
    );
    this.#undo.set(`route ${network.text}`, (netlink) => netlink.removeRoute(this.#index, to));
  }

  /** Does nothing for a route that was not added here. */
  removeRoute(network: Network): void {
    if (!this.#undo.delete(`route ${network.text}`)) return;
    const to = networkOf(network);
    this.#do(`end routing ${network.text} over`, `ip route del ${network.text} dev ${this.name}`, (netlink) =>
      netlink.removeRoute(this.#index, to),
    );
  }

  /** Takes back what is not going by itself, as far as it can. */
  undo(): void {
    const netlink = this.#netlink;
    this.#netlink = null;
    if (netlink === null) return;
    if (!this.created) {
      for (const takeBack of [...this.#undo.values()].reverse()) {
        try {
          takeBack(netlink);
        } catch (error) {
          // Gone already, or the interface is.
          if (!(error instanceof NetlinkError)) throw error;
        }
      }
    }
    netlink.close();
  }

  #do<T>(what: string, command: string, act: (netlink: Rtnetlink) => T): T {
    if (this.#netlink === null) throw new TunError(`cannot ${what} ${this.name}: it is closed`, "ENODEV");
    try {
      return act(this.#netlink);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      const { code } = error;
      throw new TunError(`cannot ${what} ${this.name}: ${reason(code, command)} (${code})`, code, error);
    }
  }

  /** A question about the interface (netdevice(7)); null if there is none. */
  #ask(question: number): number | null {
    const libc = this.#libc;
    const { bytes, view, address } = this.#request;
    const socket = libc.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
    bytes.fill(0);
    bytes.set(Buffer.from(this.name).subarray(0, NAME_BYTES - 1));
    const result = libc.ioctl(socket, question, address);
    libc.close(socket);
    if (result < 0) return null;
    return question === SIOCGIFFLAGS ? view.getUint16(NAME_BYTES, true) : view.getInt32(NAME_BYTES, true);
  }
}

function reason(code: string, command: string): string {
  switch (code) {
    case "EPERM":
      return `that needs CAP_NET_ADMIN: run as root, or let an administrator do "${command}"`;
    case "EACCES":
      return "IPv6 is switched off there (sysctl net.ipv6.conf.all.disable_ipv6), or a security policy forbids it";
    case "EEXIST":
      return "there is such a route already: take that away first";
    case "EINVAL":
      return "the kernel does not take that value; IPv6 needs an MTU of at least 1280";
    case "ENODEV":
      return "the interface is gone";
    default:
      return "the kernel refuses";
  }
}
