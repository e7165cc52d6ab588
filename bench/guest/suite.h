#include <stdint.h>

/* Hashes a kilobyte n times, each time with the digest before in it; eight bytes of the last digest. */
uint64_t sha256_chain(uint64_t n);

/* Steps of a five-body system; the bits of its energy. */
uint64_t run_nbody_double(uint64_t steps);
uint64_t run_nbody_single(uint64_t steps);
