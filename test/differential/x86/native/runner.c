/*
 * Executes machine code natively, a record at a time: loads all registers,
 * runs a few bytes of code, and reports the registers, memory and fault that
 * come of it. Records come on standard input, results go to standard output;
 * ../record.ts has their layout, for 64-bit and for 32-bit code (-m32) alike.
 *
 * There is no trampoline: a signal handler edits its own frame, and returning
 * from it loads every register, vector and x87 registers included. The code
 * stands in a page of INT3, so that wherever it goes on ends in a signal whose
 * frame has the result. Without the C library: nothing here may depend on
 * segment registers or on a stack that the code under test has spoilt.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define DATA 0x10000000u
/* Writable, then read-only; nothing around. */
#define DATA_BYTES 0x4000u
#define READ_ONLY_BYTES 0x1000u
#define CODE 0x20000000u
#define CODE_BYTES 0x1000u

struct patch {
  uint32_t at, pad;
  uint64_t value;
};
struct record {
  uint32_t code_at, code_length;
  uint8_t code[64];
  uint64_t gpr[16];
  uint64_t flags;
  /* segments: flat, or of the local descriptor table: of 16 or of 32 bits. */
  uint32_t patches, segments;
  struct patch patch[4];
  uint8_t fx[512];
  uint8_t ymmh[256];
};
struct result {
  uint64_t gpr[16];
  uint64_t flags, ip;
  uint32_t signal, code;
  uint64_t address, trap, error, cr2;
  uint32_t words, pad;
  uint8_t fx[512];
  uint8_t ymmh[256];
};
struct word {
  uint32_t at, pad;
  uint64_t value;
};

static long call(long n, long a, long b, long c, long d, long e, long f);

#ifdef __x86_64__
__asm__(
    ".globl _start\n_start: xor %ebp,%ebp\n and $-16,%rsp\n call begin\n"
    ".globl restorer\nrestorer: mov $15,%eax\n syscall\n");
static long call(long n, long a, long b, long c, long d, long e, long f) {
  long r;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(r)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return r;
}
#define SYS_MAP SYS_mmap
static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
#define GPRS 16
#define IP REG_RIP
/* Where the FXSAVE image is in the frame's floating-point state. */
#define FX 0
#else
__asm__(
    ".globl _start\n_start: xor %ebp,%ebp\n and $-16,%esp\n call begin\n"
    ".globl restorer\nrestorer: mov $173,%eax\n int $0x80\n");
static long call(long n, long a, long b, long c, long d, long e, long f) {
  long r;
  long args[6] = {a, b, c, d, e, f};
  __asm__ volatile(
      "push %%ebx\n push %%ebp\n mov 20(%%esi),%%ebp\n mov (%%esi),%%ebx\n mov 4(%%esi),%%ecx\n mov 8(%%esi),%%edx\n"
      "mov 16(%%esi),%%edi\n mov 12(%%esi),%%esi\n int $0x80\n pop %%ebp\n pop %%ebx"
      : "=a"(r)
      : "a"(n), "S"(args)
      : "ecx", "edx", "edi", "memory", "cc");
  return r;
}
#define SYS_MAP SYS_mmap2
static const int order[] = {REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP, REG_EBP, REG_ESI, REG_EDI};
#define GPRS 8
#define IP REG_EIP
/* Behind the image of FSAVE, whose environment counts for the x87. */
#define FX 112
#endif

extern void restorer(void);

/* The kernel's struct sigaction, not the C library's. */
struct action {
  void (*handler)(int, siginfo_t *, ucontext_t *);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
};

static uint8_t pattern[DATA_BYTES] __attribute__((aligned(64)));
static uint8_t stack[65536] __attribute__((aligned(64)));
static uint8_t out[1 << 17];
static size_t filled;
static struct record now;
static int running;

static void die(int code) {
  for (;;) call(SYS_exit_group, code, 0, 0, 0, 0, 0);
}
static void flush(void) {
  size_t done = 0;
  while (done < filled) {
    long n = call(SYS_write, 1, (long)(out + done), filled - done, 0, 0, 0);
    if (n <= 0) die(3);
    done += n;
  }
  filled = 0;
}
static void put(const void *from, size_t length) {
  if (filled + length > sizeof out) flush();
  __builtin_memcpy(out + filled, from, length);
  filled += length;
}
/* 0: the input has ended. */
static int fill(void *to, size_t length) {
  size_t done = 0;
  while (done < length) {
    long n = call(SYS_read, 0, (long)to + done, length - done, 0, 0, 0);
    if (n == 0 && done == 0) return 0;
    if (n <= 0) die(4);
    done += n;
  }
  return 1;
}
void *memcpy(void *to, const void *from, size_t n) {
  void *start = to;
  __asm__ volatile("cld\n rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory", "cc");
  return start;
}
void *memset(void *to, int byte, size_t n) {
  void *start = to;
  __asm__ volatile("cld\n rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory", "cc");
  return start;
}

/* The upper halves of the vector registers in the frame; 0 where it has none. */
static uint8_t *upper(uint8_t *fx) {
  if (*(uint32_t *)(fx + 464) != 0x46505853u) return 0;
  if (!(*(uint64_t *)(fx + 472) & 4)) return 0;
  return fx + 576;
}

static void report(int number, siginfo_t *info, ucontext_t *context) {
  static struct result r;
  greg_t *g = context->uc_mcontext.gregs;
  uint8_t *fx = (uint8_t *)context->uc_mcontext.fpregs + FX;
  uint8_t *high = upper(fx);
  memset(&r, 0, sizeof r);
  for (int n = 0; n < GPRS; n++) r.gpr[n] = (unsigned long)g[order[n]];
#ifndef __x86_64__
  r.gpr[4] = (unsigned long)g[REG_ESP];
#endif
  r.flags = (unsigned long)g[REG_EFL];
  r.ip = (unsigned long)g[IP];
#ifndef __x86_64__
  /* Offsets in a segment that begins at the code. */
  if (g[REG_CS] & 4) r.ip += CODE;
#endif
  r.signal = number;
  r.code = info->si_code;
  r.address = (unsigned long)info->si_addr;
  r.trap = (unsigned long)g[REG_TRAPNO];
  r.error = (unsigned long)g[REG_ERR];
#ifdef __x86_64__
  r.cr2 = g[REG_CR2];
#else
  r.cr2 = context->uc_mcontext.cr2;
#endif
  memcpy(r.fx, fx, 512);
  if (high && (*(uint64_t *)(fx + 512) & 4)) memcpy(r.ymmh, high, 256);
  const uint64_t *data = (const uint64_t *)DATA, *before = (const uint64_t *)pattern;
  for (unsigned n = 0; n < DATA_BYTES / 8; n++) r.words += data[n] != before[n];
  put(&r, sizeof r);
  for (unsigned n = 0; n < DATA_BYTES / 8; n++) {
    if (data[n] == before[n]) continue;
    struct word w = {n * 8, 0, data[n]};
    put(&w, sizeof w);
  }
}

static void handle(int number, siginfo_t *info, ucontext_t *context) {
  greg_t *g = context->uc_mcontext.gregs;
  if (running) {
    report(number, info, context);
    /* The whole page: cases write there too. */
    memset((void *)(uintptr_t)CODE, 0xcc, CODE_BYTES);
  }
#ifndef __x86_64__
  /* The stack of the start is in reach of 32-bit addresses; nobody needs it any more. */
  if (!running) call(SYS_munmap, 0x60000000, 0x9fffe000, 0, 0, 0, 0);
#endif
  running = 1;
  if (!fill(&now, sizeof now)) {
    flush();
    die(0);
  }
  if (now.code_length > sizeof now.code || now.code_at + now.code_length > CODE_BYTES || now.patches > 4) die(5);
  memcpy((void *)DATA, pattern, DATA_BYTES);
  for (unsigned n = 0; n < now.patches; n++) memcpy((void *)(uintptr_t)(DATA + now.patch[n].at), &now.patch[n].value, 8);
  memcpy((void *)(uintptr_t)(CODE + now.code_at), now.code, now.code_length);
  for (int n = 0; n < GPRS; n++) g[order[n]] = now.gpr[n];
#ifndef __x86_64__
  /* The kernel's frame has the stack pointer twice; this one counts. */
  g[REG_ESP] = now.gpr[4];
#endif
  g[REG_EFL] = now.flags;
  g[IP] = CODE + now.code_at;
#ifndef __x86_64__
  static const unsigned code[] = {0x23, 0x07, 0x17}, data[] = {0x2b, 0x0f, 0x1f};
  g[REG_CS] = code[now.segments];
  g[REG_DS] = g[REG_ES] = g[REG_SS] = data[now.segments];
  if (now.segments) g[IP] = now.code_at;
#endif
  uint8_t *fx = (uint8_t *)context->uc_mcontext.fpregs + FX;
  /* The last 96 bytes are the kernel's. */
  memcpy(fx, now.fx, 416);
#ifndef __x86_64__
  /* FSAVE's environment and registers, from FXSAVE's. */
  uint32_t *env = (uint32_t *)(fx - FX);
  unsigned top = (now.fx[3] >> 3) & 7, tags = 0;
  for (unsigned n = 0; n < 8; n++) {
    const uint8_t *st = now.fx + 32 + 16 * ((n - top) & 7);
    unsigned exponent = (st[8] | st[9] << 8) & 0x7fff, tag = 3;
    if (now.fx[4] >> n & 1) {
      tag = st[7] & 0x80 && exponent != 0x7fff ? 0 : 2;
      if (exponent == 0) {
        tag = 2;
        if (*(uint32_t *)st == 0 && *(uint32_t *)(st + 4) == 0) tag = 1;
      }
    }
    tags |= tag << 2 * n;
  }
  env[3] = env[4] = env[5] = env[6] = 0;
  env[0] = 0xffff0000u | now.fx[0] | now.fx[1] << 8;
  env[1] = 0xffff0000u | now.fx[2] | now.fx[3] << 8;
  env[2] = 0xffff0000u | tags;
  for (unsigned n = 0; n < 8; n++) memcpy((uint8_t *)env + 28 + 10 * n, now.fx + 32 + 16 * n, 10);
#endif
  /* AMD's processors load no instruction pointer where no exception stands: the last case's would be left. */
  __asm__ volatile("fninit");
  uint8_t *high = upper(fx);
  if (high) {
    *(uint64_t *)(fx + 512) |= 7;
    memcpy(high, now.ymmh, 256);
  }
}

static void map(uint32_t at, uint32_t bytes, int protection) {
  /* private, fixed, anonymous */
  if (call(SYS_MAP, at, bytes, protection, 0x32, -1, 0) != (long)at) die(6);
}

__attribute__((used)) void begin(void) {
  static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP};
  stack_t alternate = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
  if (call(SYS_sigaltstack, (long)&alternate, 0, 0, 0, 0, 0) != 0) die(7);
  for (unsigned n = 0; n < sizeof signals / sizeof *signals; n++) {
    /* SA_RESTORER | SA_ONSTACK | SA_SIGINFO | SA_NODEFER */
    struct action action = {handle, 0x04000000u | 0x08000000u | 4 | 0x40000000u, restorer, 0};
    if (call(SYS_rt_sigaction, signals[n], (long)&action, 0, 8, 0, 0) != 0) die(8);
  }
  map(DATA, DATA_BYTES + READ_ONLY_BYTES, 3);
  map(CODE, CODE_BYTES, 7);
  memset((void *)CODE, 0xcc, CODE_BYTES);
  if (!fill(pattern, sizeof pattern)) die(9);
  /* Of the read-only page the contents are the first page's. */
  memcpy((void *)(uintptr_t)(DATA + DATA_BYTES), pattern, READ_ONLY_BYTES);
  if (call(SYS_mprotect, DATA + DATA_BYTES, READ_ONLY_BYTES, 1, 0, 0, 0) != 0) die(10);
#ifdef __x86_64__
  /* ARCH_SET_FS, ARCH_SET_GS */
  if (call(SYS_arch_prctl, 0x1002, DATA + 0x100, 0, 0, 0, 0) != 0) die(11);
  if (call(SYS_arch_prctl, 0x1001, DATA + 0x1800, 0, 0, 0, 0) != 0) die(11);
#else
  struct {
    uint32_t entry, base, limit, bits;
  } fs = {-1u, DATA + 0x100, 0xfffff, 0x51}, gs = {-1u, DATA + 0x1800, 0xfffff, 0x51};
  if (call(SYS_set_thread_area, (long)&fs, 0, 0, 0, 0, 0) != 0) die(11);
  if (call(SYS_set_thread_area, (long)&gs, 0, 0, 0, 0, 0) != 0) die(11);
  /* Code and data segments of 16 bits, then of 32; ../record.ts has them too. */
  for (unsigned n = 0; n < 4; n++) {
    struct {
      uint32_t entry, base, limit, bits;
    } segment = {n, n & 1 ? DATA : CODE, n & 1 ? 0x4fff : 0xfff, (n & 1 ? 0 : 4) | (n & 2 ? 1 : 0)};
    if (call(SYS_modify_ldt, 0x11, (long)&segment, sizeof segment, 0, 0, 0) != 0) die(13);
  }
  __asm__ volatile("mov %0,%%fs\n mov %1,%%gs" : : "r"(fs.entry * 8 + 3), "r"(gs.entry * 8 + 3));
#endif
  __asm__ volatile("int3");
  die(12);
}
