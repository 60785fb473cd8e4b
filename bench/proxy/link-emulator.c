/*
 * A lossy link between two TUN devices, for machines whose kernel has no netem. Each direction: a drop-tail queue drained at the
 * link's rate, then independent loss, then a delay: fixed, and up to JITTER_MS on each of so many hops, but packets keep their order. A
 * packet that is lost has used its share of the rate, as on a radio link.
 *
 *     link-emulator DEVICE DEVICE RATE_MBPS DELAY_MS LOSS_PERCENT QUEUE_KB SEED JITTER_MS HOPS
 *
 * Makes both devices in its own network namespace and prints "ready"; the caller moves and configures them. Ends on
 * SIGTERM with one line of JSON: per direction, packets and bytes that came, packets that the queue dropped, that the loss took, and
 * that left.
 * Not here: reordering, bursts. The simulator has these.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOT_BYTES = 2048, SLOTS = 1 << 15, BURST = 32 };

struct direction {
  int from, to;
  uint64_t random;
  /* When the rate lets the next packet through. Packets leave in order, so one ring with a head and a tail is all it takes. */
  double free_at_ns, last_due_ns;
  unsigned head, tail;
  double *due_ns;
  uint16_t *length;
  uint8_t *bytes;
  long came, came_bytes, queue_dropped, lost, left;
};

static double bits_per_ns, delay_ns, loss, queue_bytes, jitter_ns;
static int hops;
static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
  (void)signal_number;
  stopped = 1;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014), as a number from 0 to 1. */
static double draw(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static int open_device(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (device < 0) fail("/dev/net/tun");
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(device, TUNSETIFF, &request) != 0) fail(name);
  return device;
}

static void open_direction(struct direction *d, int from, int to, uint64_t seed) {
  d->from = from;
  d->to = to;
  d->random = seed;
  d->due_ns = malloc(SLOTS * sizeof *d->due_ns);
  d->length = malloc(SLOTS * sizeof *d->length);
  d->bytes = malloc((size_t)SLOTS * SLOT_BYTES);
  if (!d->due_ns || !d->length || !d->bytes) fail("memory");
}

/* Reads a burst of packets into the ring; whether there was one. */
static int take_in(struct direction *d) {
  int packets = 0;
  for (; packets < BURST; packets++) {
    unsigned slot = d->tail % SLOTS;
    uint8_t *bytes = d->bytes + (size_t)slot * SLOT_BYTES;
    ssize_t length = read(d->from, bytes, SLOT_BYTES);
    if (length <= 0) break;
    d->came++;
    d->came_bytes += length;
    double now = now_ns();
    double start = d->free_at_ns > now ? d->free_at_ns : now;
    if ((start - now) * bits_per_ns / 8 + length > queue_bytes || d->tail - d->head == SLOTS) {
      d->queue_dropped++;
      continue;
    }
    d->free_at_ns = start + length * 8 / bits_per_ns;
    if (draw(&d->random) < loss) {
      d->lost++;
      continue;
    }
    double due = d->free_at_ns + delay_ns;
    for (int hop = 0; hop < hops; hop++) due += jitter_ns * draw(&d->random);
    if (due < d->last_due_ns) due = d->last_due_ns;
    d->last_due_ns = d->due_ns[slot] = due;
    d->length[slot] = length;
    d->tail++;
  }
  return packets > 0;
}

/* Lets out what is due; when the next packet will be. */
static double let_out(struct direction *d, double now) {
  while (d->head != d->tail) {
    unsigned slot = d->head % SLOTS;
    if (d->due_ns[slot] > now) return d->due_ns[slot];
    if (write(d->to, d->bytes + (size_t)slot * SLOT_BYTES, d->length[slot]) == d->length[slot]) d->left++;
    d->head++;
  }
  return now + 1e9;
}

int main(int count, char **words) {
  if (count != 10) {
    fprintf(stderr, "link-emulator DEVICE DEVICE RATE_MBPS DELAY_MS LOSS_PERCENT QUEUE_KB SEED JITTER_MS HOPS\n");
    return 2;
  }
  bits_per_ns = atof(words[3]) / 1e3;
  delay_ns = atof(words[4]) * 1e6;
  loss = atof(words[5]) / 100;
  queue_bytes = atof(words[6]) * 1000;
  uint64_t seed = strtoull(words[7], NULL, 10);
  jitter_ns = atof(words[8]) * 1e6;
  hops = atoi(words[9]);
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  prctl(PR_SET_TIMERSLACK, 1000ul);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  int a = open_device(words[1]), b = open_device(words[2]);
  struct direction directions[2] = {0};
  open_direction(&directions[0], a, b, seed * 2);
  open_direction(&directions[1], b, a, seed * 2 + 1);
  puts("ready");
  fflush(stdout);
  while (!stopped) {
    int busy = take_in(&directions[0]) | take_in(&directions[1]);
    double now = now_ns();
    double first = let_out(&directions[0], now), second = let_out(&directions[1], now);
    if (busy) continue;
    double wait = (first < second ? first : second) - now_ns();
    if (wait < 0) continue;
    struct timespec timeout = {wait / 1e9, (long)wait % 1000000000};
    struct pollfd devices[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    ppoll(devices, 2, &timeout, NULL);
  }
  printf("[");
  for (int i = 0; i < 2; i++) {
    struct direction *d = &directions[i];
    printf("%s{\"came\":%ld,\"cameBytes\":%ld,\"queueDropped\":%ld,\"lost\":%ld,\"left\":%ld}", i ? "," : "", d->came, d->came_bytes, d->queue_dropped, d->lost, d->left);
  }
  printf("]\n");
  return 0;
}
