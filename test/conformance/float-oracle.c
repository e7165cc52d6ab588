/*
 * Floating-point results and flags of this machine's own FPU: of the host, or of
 * RISC-V when compiled for it (and run by qemu-riscv64).
 *
 * float-oracle OP < cases > results. A case is 40 bytes: three operands of 64
 * bits, the rounding mode (RISC-V's number) and flags of 32 bits each, the
 * result of 64 bits; a result is the same with the last two filled in (flags as
 * in RISC-V's fflags, NaN results canonical, 32-bit results zero-extended).
 */
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { uint64_t a, b, c; uint32_t rm, flags; uint64_t result; } Case;

static double d(uint64_t bits) { double x; memcpy(&x, &bits, 8); return x; }
static float s(uint64_t bits) { uint32_t low = bits; float x; memcpy(&x, &low, 4); return x; }
static uint64_t bd(double x) { uint64_t bits; if (x != x) return 0x7ff8000000000000; memcpy(&bits, &x, 8); return bits; }
static uint64_t bs(float x) { uint32_t bits; if (x != x) return 0x7fc00000; memcpy(&bits, &x, 4); return bits; }

#ifdef __riscv

static void begin(uint32_t rm) { __asm__ volatile("fsrm %0\n fsflags x0" : : "r"(rm)); }
static uint32_t end(void) { uint32_t flags; __asm__ volatile("frflags %0" : "=r"(flags)); return flags; }

#define FF(op, P, A, OUT) { P r; __asm__ volatile(op " %0, " A : "=f"(r) : "f"(x), "f"(y), "f"(z)); return OUT(r); }
#define IF(op, A) { uint64_t r; __asm__ volatile(op " %0, " A : "=r"(r) : "f"(x), "f"(y), "f"(z)); return r; }
#define FI(op, P, OUT) { P r; __asm__ volatile(op " %0, %1" : "=f"(r) : "r"(k->a)); return OUT(r); }
#define BOTH(NAME, INSN, A) \
  if (!strcmp(op, "f64_" NAME)) { double x = d(k->a), y = d(k->b), z = d(k->c); FF(INSN ".d", double, A, bd) } \
  if (!strcmp(op, "f32_" NAME)) { float x = s(k->a), y = s(k->b), z = s(k->c); FF(INSN ".s", float, A, bs) }
#define COMPARE(NAME, INSN, A) \
  if (!strcmp(op, "f64_" NAME)) { double x = d(k->a), y = d(k->b), z = 0; IF(INSN ".d", A) } \
  if (!strcmp(op, "f32_" NAME)) { float x = s(k->a), y = s(k->b), z = 0; IF(INSN ".s", A) }
#define TO(NAME) \
  if (!strcmp(op, "f64_to_" NAME)) { double x = d(k->a), y = 0, z = 0; IF("fcvt." NAME ".d", "%1") } \
  if (!strcmp(op, "f32_to_" NAME)) { float x = s(k->a), y = 0, z = 0; IF("fcvt." NAME ".s", "%1") }
#define FROM(NAME) \
  if (!strcmp(op, "f64_from_" NAME)) FI("fcvt.d." NAME, double, bd) \
  if (!strcmp(op, "f32_from_" NAME)) FI("fcvt.s." NAME, float, bs)

static uint64_t run(const char *op, const Case *k) {
  BOTH("add", "fadd", "%1, %2") BOTH("sub", "fsub", "%1, %2") BOTH("mul", "fmul", "%1, %2")
  BOTH("div", "fdiv", "%1, %2") BOTH("sqrt", "fsqrt", "%1") BOTH("fma", "fmadd", "%1, %2, %3")
  BOTH("min", "fmin", "%1, %2") BOTH("max", "fmax", "%1, %2")
  COMPARE("eq", "feq", "%1, %2") COMPARE("lt", "flt", "%1, %2") COMPARE("le", "fle", "%1, %2")
  COMPARE("classify", "fclass", "%1")
  TO("w") TO("wu") TO("l") TO("lu") FROM("w") FROM("wu") FROM("l") FROM("lu")
  if (!strcmp(op, "narrow")) { double x = d(k->a), y = 0, z = 0; FF("fcvt.s.d", float, "%1", bs) }
  if (!strcmp(op, "widen")) { float x = s(k->a), y = 0, z = 0; FF("fcvt.d.s", double, "%1", bd) }
  fprintf(stderr, "no operation %s\n", op);
  exit(2);
}

#else

static void begin(uint32_t rm) {
  static const int modes[] = { FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD };
  fesetround(modes[rm & 3]);
  feclearexcept(FE_ALL_EXCEPT);
}
static uint32_t end(void) {
  int f = fetestexcept(FE_ALL_EXCEPT);
  fesetround(FE_TONEAREST);
  return (f & FE_INEXACT ? 1 : 0) | (f & FE_UNDERFLOW ? 2 : 0) | (f & FE_OVERFLOW ? 4 : 0) |
         (f & FE_DIVBYZERO ? 8 : 0) | (f & FE_INVALID ? 16 : 0);
}

/* Infinity times zero plus a quiet NaN: IEEE 754 leaves open whether it is invalid; RISC-V says yes, x86 no. */
static uint32_t quirk(const char *op, double x, double y, double z) {
  return strstr(op, "fma") && isnan(z) && ((isinf(x) && y == 0) || (x == 0 && isinf(y))) ? 16 : 0;
}

#define BOTH(NAME, EXPRESSION) \
  if (!strcmp(op, "f64_" NAME)) { volatile double x = d(k->a), y = d(k->b), z = d(k->c), r; (void)x; (void)y; (void)z; \
    begin(k->rm); r = EXPRESSION(double, ); *flags = end() | quirk(op, x, y, z); return bd(r); } \
  if (!strcmp(op, "f32_" NAME)) { volatile float x = s(k->a), y = s(k->b), z = s(k->c), r; (void)x; (void)y; (void)z; \
    begin(k->rm); r = EXPRESSION(float, f); *flags = end() | quirk(op, x, y, z); return bs(r); }
#define COMPARE(NAME, EXPRESSION) \
  if (!strcmp(op, "f64_" NAME)) { volatile double x = d(k->a), y = d(k->b); volatile int r; \
    begin(k->rm); r = EXPRESSION; *flags = end(); return r; } \
  if (!strcmp(op, "f32_" NAME)) { volatile float x = s(k->a), y = s(k->b); volatile int r; \
    begin(k->rm); r = EXPRESSION; *flags = end(); return r; }
#define ADD(T, F) x + y
#define SUB(T, F) x - y
#define MUL(T, F) x * y
#define DIV(T, F) x / y
#define SQRT(T, F) sqrt##F(x)
#define FMA(T, F) fma##F(x, y, z)
#define RINT(T, F) rint##F(x)
#define FROM(T, F) (T)(int64_t)n

static uint64_t run(const char *op, const Case *k, uint32_t *flags) {
  volatile int64_t n = (int64_t)k->a;
  BOTH("add", ADD) BOTH("sub", SUB) BOTH("mul", MUL) BOTH("div", DIV) BOTH("sqrt", SQRT) BOTH("fma", FMA)
  BOTH("round", RINT) BOTH("from_l", FROM)
  COMPARE("eq", x == y) COMPARE("lt", x < y) COMPARE("le", x <= y)
  COMPARE("lt_quiet", __builtin_isless(x, y)) COMPARE("le_quiet", __builtin_islessequal(x, y))
  if (!strcmp(op, "narrow")) { volatile double x = d(k->a); volatile float r;
    begin(k->rm); r = (float)x; *flags = end(); return bs(r); }
  if (!strcmp(op, "widen")) { volatile float x = s(k->a); volatile double r;
    begin(k->rm); r = x; *flags = end(); return bd(r); }
  fprintf(stderr, "no operation %s\n", op);
  exit(2);
}

#endif

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  Case k;
  while (fread(&k, sizeof k, 1, stdin) == 1) {
#ifdef __riscv
    begin(k.rm);
    k.result = run(argv[1], &k);
    k.flags = end();
#else
    k.result = run(argv[1], &k, &k.flags);
#endif
    if (fwrite(&k, sizeof k, 1, stdout) != 1) return 1;
  }
  return 0;
}
