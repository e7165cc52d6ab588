/*
 * Results and status words of this machine's own x87 FPU.
 *
 * x87-oracle OP < cases > results. A case is 80 bytes, eight-byte fields unless
 * said otherwise: a (significand, sign|exponent), b (the same), control word and
 * status word (32 bits each), result (two fields), second result (two fields),
 * EFLAGS (32 bits) and 32 bits of nothing. The result comes in as what stands in
 * the destination; the status word goes out without TOP.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct { uint64_t s, e; } Reg;
typedef struct { Reg a, b; uint32_t cw, sw; Reg r, r2; uint32_t eflags, none; } Case;

#define BEGIN "fninit\n fldt %[b]\n fldt %[a]\n fnclex\n fldcw %[cw]\n "
/* The stack survives fnclex; fninit does not clear registers, only tags, so the result is read before it. */
#define READ "\n fnstsw %[sw]\n fnclex\n fldcw %[def]\n fstpt %[r]\n fninit\n"
#define READ2 "\n fnstsw %[sw]\n fnclex\n fldcw %[def]\n fstpt %[r2]\n fstpt %[r]\n fninit\n"
static const uint16_t def = 0x37f;

#define OP(NAME, INSN) if (!strcmp(op, NAME)) { \
  __asm__ volatile(BEGIN INSN READ : [r] "+m"(k->r), [sw] "+m"(k->sw) : [a] "m"(k->a), [b] "m"(k->b), [cw] "m"(k->cw), [def] "m"(def) : "memory", "cc"); return 1; }
/* Pushes: the new top is the second result. Not delivered, the top is what was below. */
#define OP2(NAME, INSN) if (!strcmp(op, NAME)) { \
  __asm__ volatile(BEGIN INSN READ2 : [r] "+m"(k->r), [r2] "+m"(k->r2), [sw] "+m"(k->sw) : [a] "m"(k->a), [b] "m"(k->b), [cw] "m"(k->cw), [def] "m"(def) : "memory", "cc"); return 1; }
/* A memory operand: the bits in b. */
#define MEM(NAME, INSN) OP(NAME, INSN " %[b]")
/* Loads memory (a): one push. */
#define LOAD(NAME, INSN) if (!strcmp(op, NAME)) { \
  __asm__ volatile("fninit\n fldt %[b]\n fnclex\n fldcw %[cw]\n " INSN " %[a]" READ : [r] "+m"(k->r), [sw] "+m"(k->sw) : [a] "m"(k->a), [b] "m"(k->b), [cw] "m"(k->cw), [def] "m"(def) : "memory", "cc"); return 1; }
#define STORE(NAME, INSN) if (!strcmp(op, NAME)) { \
  __asm__ volatile(BEGIN INSN " %[r]\n fnstsw %[sw]\n fnclex\n fninit" : [r] "+m"(k->r), [sw] "+m"(k->sw) : [a] "m"(k->a), [b] "m"(k->b), [cw] "m"(k->cw) : "memory", "cc"); return 1; }
#define FLAGS(NAME, INSN) if (!strcmp(op, NAME)) { uint64_t f; \
  __asm__ volatile(BEGIN "\n pushq $0x2\n popfq\n" INSN "\n pushfq\n popq %[f]\n fnstsw %[sw]\n fnclex\n fninit" : [f] "=r"(f), [sw] "+m"(k->sw) : [a] "m"(k->a), [b] "m"(k->b), [cw] "m"(k->cw) : "memory", "cc"); k->eflags = f & 0x45; return 1; }

static int run(const char *op, Case *k) {
  OP("add", "fadd %%st(1), %%st") OP("sub", "fsub %%st(1), %%st") OP("mul", "fmul %%st(1), %%st")
  OP("div", "fdiv %%st(1), %%st") OP("sqrt", "fsqrt") OP("rndint", "frndint")
  OP("scale", "fscale") OP("fprem", "fprem") OP("fprem1", "fprem1")
  OP("compare", "fcom %%st(1)") OP("compare_quiet", "fucom %%st(1)") OP("examine", "fxam")
  FLAGS("compare_flags", "fcomi %%st(1), %%st") FLAGS("compare_flags_quiet", "fucomi %%st(1), %%st")
  MEM("add_f32", "fadds") MEM("sub_f32", "fsubs") MEM("subr_f32", "fsubrs")
  MEM("mul_f32", "fmuls") MEM("div_f32", "fdivs") MEM("divr_f32", "fdivrs")
  MEM("add_f64", "faddl") MEM("sub_f64", "fsubl") MEM("subr_f64", "fsubrl")
  MEM("mul_f64", "fmull") MEM("div_f64", "fdivl") MEM("divr_f64", "fdivrl")
  MEM("add_widened", "fadds") MEM("sub_widened", "fsubs")
  MEM("compare_f64", "fcoml")
  LOAD("load_f32", "flds") LOAD("load_f64", "fldl") LOAD("load_i64", "fildll") LOAD("load_bcd", "fbld")
  STORE("store_f32", "fstps") STORE("store_f64", "fstpl")
  STORE("to_i16", "fistps") STORE("to_i32", "fistpl") STORE("to_i64", "fistpll")
  STORE("trunc_i16", "fisttps") STORE("trunc_i32", "fisttpl") STORE("trunc_i64", "fisttpll")
  STORE("store_bcd", "fbstp")
  OP2("extract", "fxtract") OP2("fptan", "fptan") OP2("fsincos", "fsincos")
  OP("one", "fstp %%st(1)\n fld1") OP("zero", "fstp %%st(1)\n fldz") OP("l2t", "fldl2t") OP("l2e", "fldl2e")
  OP("pi", "fldpi") OP("lg2", "fldlg2") OP("ln2", "fldln2")
  OP("f2xm1", "f2xm1") OP("fsin", "fsin") OP("fcos", "fcos")
  OP("fpatan", "fxch\n fpatan") OP("fyl2x", "fxch\n fyl2x") OP("fyl2xp1", "fxch\n fyl2xp1")
  return 0;
}

int main(int argc, char **argv) {
  Case k;
  if (argc < 2) return 2;
  while (fread(&k, sizeof k, 1, stdin) == 1) {
    if (!run(argv[1], &k)) { fprintf(stderr, "no operation %s\n", argv[1]); return 2; }
    k.sw &= 0xc7ff;
    k.r.e &= 0xffff;
    k.r2.e &= 0xffff;
    if (fwrite(&k, sizeof k, 1, stdout) != 1) return 1;
  }
  return 0;
}
