/*
 * SHA-256, written for the suite from the standard.
 *
 * Spec: FIPS 180-4, "SHA-256". Departure: the constants are computed (fractional
 * parts of cube and square roots of primes) by integer arithmetic, once.
 */
#include "suite.h"

#include <string.h>

static uint32_t k[64], initial[8];

static int is_prime(unsigned n) {
  for (unsigned d = 2; d * d <= n; d++)
    if (n % d == 0) return 0;
  return 1;
}

#define LIMBS 5

/* A number of LIMBS 32-bit limbs, the lowest first, times t < 2^37; the product fits. */
static void multiply(uint32_t *n, uint64_t t) {
  uint32_t product[LIMBS] = {0};
  for (int shift = 0; shift < 2; shift++) {
    const uint64_t factor = (uint32_t)(t >> 32 * shift);
    uint64_t carry = 0;
    for (int i = 0; i + shift < LIMBS; i++) {
      carry += factor * n[i] + product[i + shift];
      product[i + shift] = (uint32_t)carry;
      carry >>= 32;
    }
  }
  memcpy(n, product, sizeof product);
}

/* The first 32 bits of the fraction of the root-th root of p: the largest r with r^root <= p * 2^(32 root). */
static uint32_t root_fraction(unsigned p, int root) {
  uint64_t r = 0;
  for (int bit = 36; bit >= 0; bit--) {
    const uint64_t t = r | 1ull << bit;
    uint32_t power[LIMBS] = {1}, limit[LIMBS] = {0};
    int top = LIMBS - 1;
    for (int i = 0; i < root; i++) multiply(power, t);
    limit[root] = p;
    while (top > 0 && power[top] == limit[top]) top--;
    if (power[top] <= limit[top]) r = t;
  }
  return (uint32_t)r;
}

static void make_constants(void) {
  unsigned found = 0;
  for (unsigned n = 2; found < 64; n++) {
    if (!is_prime(n)) continue;
    if (found < 8) initial[found] = root_fraction(n, 2);
    k[found++] = root_fraction(n, 3);
  }
}

static inline uint32_t rotr(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static void compress(uint32_t h[8], const uint8_t *block) {
  uint32_t w[64];
  for (int t = 0; t < 16; t++, block += 4)
    w[t] = (uint32_t)block[0] << 24 | block[1] << 16 | block[2] << 8 | block[3];
  for (int t = 16; t < 64; t++) {
    const uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
    const uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = s1 + w[t - 7] + s0 + w[t - 16];
  }
  uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
  for (int t = 0; t < 64; t++) {
    const uint32_t t1 =
        last + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[t] + w[t];
    const uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    last = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e, h[5] += f, h[6] += g, h[7] += last;
}

static void digest(const uint8_t *data, size_t length, uint8_t out[32]) {
  uint32_t h[8];
  uint8_t tail[128] = {0};
  const size_t rest = length % 64, tail_length = rest < 56 ? 64 : 128;
  memcpy(h, initial, sizeof h);
  for (size_t at = 0; at + 64 <= length; at += 64) compress(h, data + at);
  memcpy(tail, data + length - rest, rest);
  tail[rest] = 0x80;
  for (int i = 0; i < 8; i++) tail[tail_length - 1 - i] = (uint64_t)length * 8 >> 8 * i;
  for (size_t at = 0; at < tail_length; at += 64) compress(h, tail + at);
  for (int i = 0; i < 32; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

uint64_t sha256_chain(uint64_t n) {
  uint8_t data[1024];
  uint64_t sum = 0;
  make_constants();
  for (size_t i = 0; i < sizeof data; i++) data[i] = i;
  for (uint64_t i = 0; i < n; i++) digest(data, sizeof data, data);
  for (int i = 0; i < 8; i++) sum = sum << 8 | data[i];
  return sum;
}
