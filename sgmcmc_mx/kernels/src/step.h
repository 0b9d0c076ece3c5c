/* What the engine side (step.c) and the arithmetic (kernels.c) share. The names are those of job.py. */
#ifndef SGMCMC_MX_STEP_H
#define SGMCMC_MX_STEP_H

#include <stdint.h>

/* Elements summed on their own: the sum of squares adds these partial sums in order, so that it has the same
 * bits for any number of threads. A multiple of SG_BLOCK. */
#define SG_CHUNK 16384
/* Normals made at a time, small enough to stay in the first-level cache. A multiple of 64, the group of noise.py. */
#define SG_BLOCK 1024

typedef struct {
    void *weight, *grad, *momentum, *alpha, *previous, *variance;   /* data, 0 where there is none */
    int64_t size;
    uint32_t key[2], counter[3];    /* counter words 1, 2, 3; word 0 is the block */
    int is_double;
    int element;                    /* a thermostat for every element */
    int sum;                        /* the sum of squares is wanted */
    double rescale, clip, drift, prior, noise, rate;
    double decay;                   /* ratio * (1 - alpha'), where it is one number */
    double ratio, alpha_ratio, heat, inverse_mass;
} sg_task;

/* Arithmetic of one instruction set. */
typedef struct {
    const char *name;
    /* Carries out elements first .. first + count - 1 of a task; returns the sum of the new v^2. */
    double (*chunk)(const sg_task *task, int64_t first, int64_t count);
    /* Fills groups of 64 normals. */
    void (*normals)(const uint32_t key[2], const uint32_t counter[3], int64_t first_group, int64_t groups, float *out);
    /* The integer stream behind them, four words a block of 16 blocks a group, in the order of the elements. */
    void (*words)(const uint32_t key[2], const uint32_t counter[3], int64_t first_group, int64_t groups,
                  uint32_t *out);
} sg_isa;

/* The instruction set by rank: 0 is the baseline, 1 AVX2 with FMA, 2 AVX-512. 0 where this processor lacks it. */
const sg_isa *sg_isa_of_rank(int rank);

#endif
