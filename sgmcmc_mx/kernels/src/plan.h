/* What the files of the engine side share: MXNet's functions, the arrays of a plan, the numbers of a step.
 *
 * entry.c is what native.py calls; plan.c learns the arrays, once; operation.c looks their data up on an engine thread;
 * tasks.c spreads the arithmetic of kernels.c over threads and moves the thermostats.
 */
#ifndef SGMCMC_MX_PLAN_H
#define SGMCMC_MX_PLAN_H

#include <stdint.h>
#include <sys/types.h>

#include "step.h"

#define EXPORT __attribute__((visibility("default")))

/* UNFIT: not for this path (sparse, another dtype, another device); the readable backend can do it. */
enum { SG_OK = 0, SG_UNFIT = 1, SG_SIZES = 2, SG_MEMORY = 3, SG_EARLIER = 4, SG_MXNET = -1 };
enum { FLOAT32 = 0, FLOAT64 = 1, FLOAT16 = 2 };
enum { CPU = 1, CPU_PINNED = 3, CPU_SHARED = 5 };

/* The functions of MXNet that are called, in the order in which native.py hands them over. */
typedef struct {
    int (*push)(void (*)(void *, void *), void *, void (*)(void *), const void *, void **, int, void **, int,
                const void *, int, const char *);
    int (*data)(void *, void **);
    int (*shape)(void *, int *, const int64_t **);
    int (*dtype)(void *, int *);
    int (*storage)(void *, int *);
    int (*context)(void *, int *, int *);
    int (*copy)(void *, void **);
    int (*release)(void *);
    void (*reorder)(void *);        /* mxnet::NDArray::Chunk::Reorder2Default(); 0: no array is laid out afresh */
} sg_mxnet;

extern sg_mxnet mx;
extern const sg_isa *isa;
extern int threads;             /* 0: as many as OpenMP says */
extern pid_t loaded_by;

enum { WEIGHT, GRAD, MOMENTUM, ALPHA, PREVIOUS, VARIANCE, SCALE, HALF, CENTRE, UNIT, PER_TENSOR };
enum { SHARED_ALPHA, SHARED_EXCESS, PER_PLAN };

typedef struct {
    void *array;                /* an NDArray of our own, 0 for none */
    int reorder;                /* may be laid out afresh */
} operand;

typedef struct {
    operand operands[PER_TENSOR];
    int64_t size;
    int dtype, grad_dtype, alpha_dtype;
    int element;                /* a thermostat for every element */
} tensor;

typedef struct {
    int references;
    int count, context[2];
    int in_order;               /* some arrays are named by several tensors: one starts where the other has ended */
    operand shared[PER_PLAN];
    int shared_dtype;
    tensor *tensors;
    void **writes, **reads;     /* every array once, by memory */
    int n_writes, n_reads;
} plan;

/* What changes from step to step, as native.py packs it. */
typedef struct {
    uint64_t seed;
    double rescale, clip;       /* clip may be infinite */
    double ratio, gain, shift;  /* by which the account is settled at the begin */
    uint64_t settle;
    double half_gain;           /* by which the thermostat moves, twice, within a step of 'badodab' */
    uint64_t integrator;        /* SG_EULER, SG_ABOBA or SG_BADODAB */
} head;

typedef struct {
    uint64_t ordinal, count, law;
    double drift, prior, noise, cold, ratio, alpha_ratio, friction, heat, inverse_mass, share, rate;
    double inverse, first, second;
} row;

typedef struct {
    plan *plan;
    head head;
    double *alpha_data, *excess_data;
    row *rows;
    sg_task *tasks;
} job;

/* The NDArray's first word points to its memory block (native.py checks this once). */
static inline void *block_of(void *array)
{
    return *(void **)array;
}

/* plan.c: let go of a plan; the last one to do so, Python or an operation, frees it. */
void sg_release(void *pointer);

/* plan.c: an array's axes and size; our own copy of one, which must be of this size and dtype. */
int shape_of(void *array, int *ndim, int64_t *size);
int take(void *array, int64_t size, int dtype, operand *o);
/* Name an array as written or read, unless its memory is named already. Returns whether it was, by another owner. */
typedef struct {
    void **slots;               /* a set of arrays by the memory they live in */
    const void **owners;        /* the tensor, or plan, that named it */
    uint32_t mask;
    void **writes, **reads;     /* room for all of them each */
    int n_writes, n_reads;
} names;
int begin_names(names *s, size_t arrays);
int name(names *s, const operand *o, int written, const void *owner);
void end_names(names *s);
void name_plan(names *s, plan *p, int grads_are_written);

/* operation.c: the data of an array, which may only be asked for inside an operation that has named it. */
int look_up(const operand *o, void **data);
/* The data of all arrays of a job; then, with its head and rows, one step of it. */
int find(job *j);
int carry_out(job *j);
/* Run by the engine with a job. Keeps what went wrong for the next push, which takes it. */
void operate(void *context, void *param);
void note_failure(int code);
int take_failure(void);

/* tasks.c: a part of the step of all tasks of a job, an SG_KICK or SG_FLUCTUATE or a whole one; a code of the enum. */
int run_all(job *j, int form);
/* Whether a thermostat needs a sum over several elements in the middle of a step. */
int has_sums(const job *j);
/* A thermostat of one value. */
double load(const void *p, int dtype);
void store(void *p, int dtype, double x);

#endif
