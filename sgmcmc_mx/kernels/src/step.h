/* What the engine side (plan.h) and the arithmetic (kernels.c) share. The names are those of job.py. */
#ifndef SGMCMC_MX_STEP_H
#define SGMCMC_MX_STEP_H

#include <stdint.h>

/* Elements summed on their own: the sum of squares adds these partial sums in order, so that it has the same
 * bits for any number of threads. A multiple of SG_BLOCK. */
#define SG_CHUNK 16384
/* Normals made at a time, small enough to stay in the first-level cache. A multiple of 64, the group of noise.py. */
#define SG_BLOCK 1024

/* What there is of a tensor; what else it brings; which part of a step it is. A step of 'badodab' is one pass, unless
 * its thermostat needs the sum over a tensor or the network in the middle: then it is a kick and a fluctuation. */
enum { SG_NO_MOMENTUM, SG_MOMENTUM, SG_ELEMENT };
enum { SG_PLAIN, SG_ESTIMATE, SG_SCALE };
enum { SG_EULER, SG_ABOBA, SG_BADODAB, SG_KICK, SG_FLUCTUATE };
#define SG_CASE(kind, extra, form, pulled) ((((kind) * 3 + (extra)) * 5 + (form)) * 2 + (pulled))
/* What the prior is: N(0, 1 / (N prior)), or another one, whose part of the gradient is formed block by block. */
enum { SG_LAW_PLAIN, SG_LAW_GAUSSIAN, SG_LAW_LAPLACE, SG_LAW_STUDENT, SG_LAW_MIXTURE, SG_LAW_POWER, SG_LAW_GIVEN };

typedef struct {
    void *weight, *grad, *momentum, *alpha, *previous, *variance, *scale, *half;
    void *centre, *unit;            /* data, 0 where there is none */
    int64_t size;
    uint32_t key[2], counter[3];    /* counter words 1, 2, 3; word 0 is the block */
    int is_double, half_grad;
    int kind, extra, form;          /* of the enums above */
    int sum;                        /* the sum of squares is wanted */
    double rescale, clip, drift, prior, noise, cold, rate;
    double decay, after, spread;    /* factors of v, and of the noise, where they are one number for the tensor */
    double ratio, alpha_ratio, alpha_shift, heat, inverse_mass;
    int law;                        /* of the prior, and its numbers */
    double inverse, first, second;
} sg_task;

/* Arithmetic of one instruction set. */
typedef struct {
    const char *name;
    int rank;
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

/* (1 - exp(-x)) / x, and exp(-x) into e. */
double sg_phi(double x, double *e);

#endif
