/**
 * Numbers and structures of Linux's socket interface on 64-bit little-endian processors: socket(7), ip(7), ipv6(7),
 * udp(7), sendmmsg(2), cmsg(3).
 */
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_DONTWAIT = 0x40;

export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
/** A control message with the time of arrival, two 64-bit numbers: seconds since 1970 and nanoseconds. */
export const SO_TIMESTAMPNS = 35;
/** Nine counters of 32 bits (linux/sock_diag.h), the last of them packets dropped. */
export const SO_MEMINFO = 55;
export const MEMINFO_BYTES = 36;
export const MEMINFO_DROPS = 32;

export const SOL_IP = 0;
export const IP_TOS = 1;
export const IP_PKTINFO = 8;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVTOS = 13;
/** Set don't-fragment, ignore what the kernel believes the path's MTU to be. The same number for IPv6. */
export const PMTUDISC_PROBE = 3;

export const SOL_IPV6 = 41;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const IPV6_DONTFRAG = 62;
export const IPV6_RECVTCLASS = 66;
export const IPV6_TCLASS = 67;

export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;
/** The most that kernels before 6.9 take in one call. */
export const UDP_MAX_SEGMENTS = 64;

export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const EINVAL = 22;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const ENOBUFS = 105;

/** `struct iovec`: base, length. */
export const IOVEC_BYTES = 16;

/** `struct mmsghdr`, which begins with a `struct msghdr`; offsets within. */
export const MMSGHDR_BYTES = 64;
export const MSG_NAME = 0;
export const MSG_NAMELEN = 8;
export const MSG_IOV = 16;
export const MSG_IOVLEN = 24;
export const MSG_CONTROL = 32;
export const MSG_CONTROLLEN = 40;
export const MSG_LEN = 56;

/** `struct cmsghdr`: length with header (8 bytes), level, type; data follow, padded to 8. */
export const CMSG_LEVEL = 8;
export const CMSG_TYPE = 12;
export const CMSG_DATA = 16;

export function cmsgSpace(dataBytes: number): number {
  return CMSG_DATA + ((dataBytes + 7) & ~7);
}
