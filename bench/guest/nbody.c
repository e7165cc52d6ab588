/*
 * Five bodies under gravity, integrated by leapfrog steps: multiplications,
 * additions, a square root and a division, in double and in single precision.
 * Compiled as the compiler likes: on RISC-V it fuses multiplications and additions.
 */
#include "suite.h"

#include <math.h>
#include <string.h>

#define BODIES 5

#define NBODY(name, real, root)                                                            \
  struct name##_body {                                                                     \
    real p[3], v[3], mass;                                                                 \
  };                                                                                       \
                                                                                           \
  static void name##_pull(struct name##_body *b, real dt) {                                \
    for (int i = 0; i < BODIES; i++)                                                       \
      for (int j = i + 1; j < BODIES; j++) {                                               \
        const real x = b[i].p[0] - b[j].p[0], y = b[i].p[1] - b[j].p[1];                   \
        const real z = b[i].p[2] - b[j].p[2], square = x * x + y * y + z * z;              \
        const real force = dt / (square * root(square));                                   \
        const real fi = force * b[j].mass, fj = force * b[i].mass;                         \
        b[i].v[0] -= x * fi, b[i].v[1] -= y * fi, b[i].v[2] -= z * fi;                     \
        b[j].v[0] += x * fj, b[j].v[1] += y * fj, b[j].v[2] += z * fj;                     \
      }                                                                                    \
    for (int i = 0; i < BODIES; i++)                                                       \
      for (int axis = 0; axis < 3; axis++) b[i].p[axis] += dt * b[i].v[axis];              \
  }                                                                                        \
                                                                                           \
  uint64_t run_nbody_##name(uint64_t steps) {                                              \
    struct name##_body b[BODIES];                                                          \
    real energy = 0;                                                                       \
    uint64_t bits = 0;                                                                     \
    /* A heavy body in the middle, light ones on nearly circular orbits. */                \
    for (int i = 0; i < BODIES; i++) {                                                     \
      const real r = i ? (real)(1 + i) : 0;                                                \
      b[i].p[0] = i & 1 ? r : 0, b[i].p[1] = i & 1 ? 0 : r, b[i].p[2] = r / 16;            \
      b[i].v[0] = i & 1 ? 0 : -(r ? 1 / root(r) : 0), b[i].v[1] = i & 1 ? 1 / root(r) : 0; \
      b[i].v[2] = 0, b[i].mass = i ? (real)1 / 1024 : 1;                                   \
    }                                                                                      \
    for (uint64_t i = 0; i < steps; i++) name##_pull(b, (real)1 / 1024);                   \
    for (int i = 0; i < BODIES; i++)                                                       \
      for (int axis = 0; axis < 3; axis++) energy += b[i].mass * b[i].v[axis] * b[i].v[axis]; \
    memcpy(&bits, &energy, sizeof energy);                                                 \
    return bits;                                                                           \
  }

NBODY(double, double, sqrt)
NBODY(single, float, sqrtf)
