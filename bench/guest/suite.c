/*
 * The guest benchmark suite: small kernels, each exercising one thing that a
 * machine emulator may be good or bad at. One static Linux program that runs
 * as a process, as init (it powers the machine off at the end) and natively.
 *
 *   suite NAME=COUNT...
 *
 * prints for each kernel, after its name on a line of its own,
 *
 *   result NAME COUNT CPU_SECONDS WALL_SECONDS CHECKSUM
 *
 * The work is fixed by COUNT, so that two emulators can be compared; setting up
 * (tables, buffers) is not measured.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"

#define COPY_BYTES (256 * 1024)
#define CHASE_BYTES (8 * 1024 * 1024)
#define FAULT_PAGES 64

static char *self; /* the path of this program, for fork/exec */
static uint64_t words_from[COPY_BYTES / 8], words_to[COPY_BYTES / 8];

static inline uint64_t lcg(uint64_t x) {
  return x * 6364136223846793005u + 1442695040888963407u;
}

/* A chain of integer operations, each waiting for the one before. */
static uint64_t run_integer(uint64_t n) {
  uint64_t x = 1;
  for (uint64_t i = 0; i < n; i++) {
    x = x * 5 + i;
    x ^= x >> 7;
    x += x << 3;
  }
  return x;
}

/* Three branches in each turn that depend on random bits; the barriers keep them branches. */
static uint64_t run_branches(uint64_t n) {
  uint64_t x = 1, a = 0, b = 0;
  for (uint64_t i = 0; i < n; i++) {
    x = lcg(x);
    if (x >> 63) {
      a += i;
      __asm__ volatile("" : "+r"(a));
    } else {
      b ^= x;
      __asm__ volatile("" : "+r"(b));
    }
    if (x & (1ull << 50)) {
      b += a;
      __asm__ volatile("" : "+r"(b));
    }
    if (x & (1ull << 41)) {
      a ^= b >> 3;
      __asm__ volatile("" : "+r"(a));
    } else {
      a -= 7;
      __asm__ volatile("" : "+r"(a));
    }
  }
  return a ^ b;
}

#define CALLEE(i) \
  static __attribute__((noinline)) uint64_t callee_##i(uint64_t x) { return (x ^ (x >> (i + 9))) + i; }
CALLEE(0) CALLEE(1) CALLEE(2) CALLEE(3) CALLEE(4) CALLEE(5) CALLEE(6) CALLEE(7)
CALLEE(8) CALLEE(9) CALLEE(10) CALLEE(11) CALLEE(12) CALLEE(13) CALLEE(14) CALLEE(15)
static uint64_t (*volatile callees[16])(uint64_t) = {
    callee_0, callee_1, callee_2,  callee_3,  callee_4,  callee_5,  callee_6,  callee_7,
    callee_8, callee_9, callee_10, callee_11, callee_12, callee_13, callee_14, callee_15};

/* A call through one of 16 pointers, picked at random. */
static uint64_t run_calls(uint64_t n) {
  uint64_t x = 1, sum = 0;
  for (uint64_t i = 0; i < n; i++) {
    x = lcg(x);
    sum += callees[x >> 60](x);
  }
  return sum;
}

/* SHA-256 over a kilobyte, again and again. */
static uint64_t run_sha256(uint64_t n) {
  return sha256_chain(n);
}

static void setup_copy(void) {
  uint64_t x = 1;
  for (size_t i = 0; i < COPY_BYTES / 8; i++) words_from[i] = x = lcg(x);
}

/* A plain loop of 64-bit loads and stores over 256 KiB. */
static uint64_t run_copy(uint64_t n) {
  for (uint64_t round = 0; round < n; round++) {
    words_from[round % (COPY_BYTES / 8)]++;
    for (size_t i = 0; i < COPY_BYTES / 8; i++) words_to[i] = words_from[i];
    __asm__ volatile("" ::: "memory");
  }
  return words_to[n % (COPY_BYTES / 8)] + words_to[0];
}

static void *(*volatile libc_memcpy)(void *, const void *, size_t) = memcpy;

/* The C library's memcpy over 256 KiB. */
static uint64_t run_memcpy(uint64_t n) {
  for (uint64_t round = 0; round < n; round++) {
    words_from[round % (COPY_BYTES / 8)]++;
    libc_memcpy(words_to, words_from, COPY_BYTES);
  }
  return words_to[n % (COPY_BYTES / 8)] + words_to[0];
}

struct node {
  struct node *next;
  uint64_t value, padding[6];
} __attribute__((aligned(64)));
static struct node *nodes;

/* One random cycle through all nodes (Sattolo's algorithm), a node to a cache line. */
static void setup_chase(void) {
  const size_t count = CHASE_BYTES / sizeof(struct node);
  uint32_t *order = malloc(count * sizeof *order);
  uint64_t x = 1;
  nodes = aligned_alloc(4096, CHASE_BYTES);
  for (size_t i = 0; i < count; i++) order[i] = i;
  for (size_t i = count - 1; i > 0; i--) {
    x = lcg(x);
    const size_t j = (x >> 33) % i;
    const uint32_t swap = order[i];
    order[i] = order[j];
    order[j] = swap;
  }
  for (size_t i = 0; i < count; i++) {
    nodes[i].next = &nodes[order[i]];
    nodes[i].value = i;
  }
  free(order);
}

static uint64_t run_chase(uint64_t n) {
  struct node *at = nodes;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < n; i++) {
    sum += at->value;
    at = at->next;
  }
  return sum;
}

static uint64_t run_syscall(uint64_t n) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < n; i++) sum += syscall(SYS_getppid) >= 0;
  return sum;
}

/* A fresh mapping of 64 pages, each page touched once: one count is one page. */
static uint64_t run_fault(uint64_t n) {
  const size_t page = sysconf(_SC_PAGESIZE);
  uint64_t sum = 0;
  for (uint64_t done = 0; done < n; done += FAULT_PAGES) {
    char *at = mmap(0, FAULT_PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return 0;
    for (size_t i = 0; i < FAULT_PAGES; i++) {
      sum += at[i * page];
      at[i * page] = 1;
      sum += at[i * page];
    }
    munmap(at, FAULT_PAGES * page);
  }
  return sum;
}

/* Starts a program and waits; 1 when it ended well. */
static uint64_t spawn(char *const argv[]) {
  int status = -1;
  const pid_t child = fork();
  if (child == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  if (child < 0 || waitpid(child, &status, 0) < 0) return 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* fork, exec of this program, which ends at once, wait. */
static uint64_t run_fork(uint64_t n) {
  char *const argv[] = {self, "--child", 0};
  uint64_t sum = 0;
  for (uint64_t i = 0; i < n; i++) sum += spawn(argv);
  return sum;
}

/* CoreMark lies beside this program when it was fetched. */
static uint64_t run_coremark(uint64_t n) {
  char path[4096], count[32];
  const char *slash = strrchr(self, '/');
  snprintf(path, sizeof path, "%.*s/coremark", slash ? (int)(slash - self) : 1, slash ? self : ".");
  snprintf(count, sizeof count, "%" PRIu64, n);
  char *const argv[] = {path, "0x0", "0x0", "0x66", count, 0};
  return spawn(argv);
}

static const struct kernel {
  const char *name;
  uint64_t (*run)(uint64_t count);
  void (*setup)(void);
} kernels[] = {
    {"integer", run_integer, 0},  {"branches", run_branches, 0},   {"calls", run_calls, 0},
    {"sha256", run_sha256, 0},    {"copy", run_copy, setup_copy},  {"memcpy", run_memcpy, setup_copy},
    {"chase", run_chase, setup_chase},                             {"double", run_nbody_double, 0},
    {"single", run_nbody_single, 0},                               {"syscall", run_syscall, 0},
    {"fault", run_fault, 0},      {"fork", run_fork, 0},           {"coremark", run_coremark, 0},
};

static double seconds(struct timeval t) {
  return t.tv_sec + t.tv_usec * 1e-6;
}

/* CPU seconds of this process and its children that ended. */
static double cpu_seconds(void) {
  struct timespec own;
  struct rusage children;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
  getrusage(RUSAGE_CHILDREN, &children);
  return own.tv_sec + own.tv_nsec * 1e-9 + seconds(children.ru_utime) + seconds(children.ru_stime);
}

static double wall_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static int measure(const char *name, uint64_t count) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    if (strcmp(kernels[i].name, name) != 0) continue;
    if (kernels[i].setup) kernels[i].setup();
    printf("begin %s\n", name);
    fflush(stdout);
    const double cpu = cpu_seconds(), wall = wall_seconds();
    const uint64_t sum = kernels[i].run(count);
    const double cpu_end = cpu_seconds(), wall_end = wall_seconds();
    printf("result %s %" PRIu64 " %.6f %.6f %016" PRIx64 "\n", name, count, cpu_end - cpu, wall_end - wall, sum);
    fflush(stdout);
    return 0;
  }
  fprintf(stderr, "suite: no kernel is named %s\n", name);
  return 1;
}

int main(int argc, char **argv) {
  int failed = 0;
  if (argc > 1 && strcmp(argv[1], "--child") == 0) return 0;
  self = argv[0];
  printf("\n"); /* firmware may have left its last line open */
  for (int i = 1; i < argc; i++) {
    char *equals = strchr(argv[i], '=');
    if (!equals) continue; /* as init: the kernel hands on words that are not for us */
    *equals = 0;
    failed |= measure(argv[i], strtoull(equals + 1, 0, 10));
  }
  printf("suite done\n");
  fflush(stdout);
  if (getpid() == 1) reboot(RB_POWER_OFF);
  return failed;
}
