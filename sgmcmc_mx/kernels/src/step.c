/* One step of a list of tensors as one operation of MXNet's engine.
 *
 * No MXNet header is needed: native.py hands over the few functions of MXNet's C API that are called. A plan holds
 * what is known of the arrays before the first step; sg_push only copies the step's coefficients and pushes. The
 * arithmetic runs on an engine thread, ordered by the engine with every other operation on the same arrays.
 *
 * Three things about MXNet's arrays shape what follows.
 * - An NDArray may be deleted while an operation on it is pending, and its data pointer must not be asked for before
 *   the operations that fill it have run: asking allocates, and two threads may then allocate at once. So a plan
 *   owns copies of the NDArrays (not of their data), and data are looked up inside the operation.
 * - oneDNN lays out weights afresh, asynchronously, during inference. The plain data are then stale. Such arrays
 *   are put back into the plain layout inside the operation, which has them to itself, by the function that
 *   MXNet's own operations use for it.
 * - The engine waits for ever if one operation names an array twice. Arrays that share memory are named once.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "step.h"

#define EXPORT __attribute__((visibility("default")))

/* UNFIT: not for this path (sparse, another dtype, another device); the readable backend can do it. */
enum { SG_OK = 0, SG_UNFIT = 1, SG_SIZES = 2, SG_MEMORY = 3, SG_EARLIER = 4, SG_MXNET = -1 };
enum { FLOAT32 = 0, FLOAT64 = 1, FLOAT16 = 2 };
enum { CPU = 1, CPU_PINNED = 3, CPU_SHARED = 5 };

/* From here on several threads are worth waking; below, they cost more than they save. */
#define SG_PARALLEL 131072

static struct {
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
} mx;

static const sg_isa *isa;
static int threads;                 /* 0: as many as OpenMP says */
static pid_t loaded_by;
static int failure;                 /* of an operation, which has nobody to tell */

enum { WEIGHT, GRAD, MOMENTUM, ALPHA, PREVIOUS, VARIANCE, SCALE, HALF, PER_TENSOR };
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
    double ratio, gain;         /* by which the account is settled at the begin */
    uint64_t settle;
    double half_gain;           /* by which the thermostat moves, twice, within a step of 'badodab' */
    uint64_t integrator;        /* SG_EULER, SG_ABOBA or SG_BADODAB */
} head;

typedef struct {
    uint64_t ordinal, count;
    double drift, prior, noise, cold, ratio, alpha_ratio, friction, heat, inverse_mass, share, rate;
} row;

typedef struct {
    plan *plan;
    head head;
    double *alpha_data, *excess_data;
    row *rows;
    sg_task *tasks;
} job;

/* ---------------------------------------------------------------- the operation */

/* A thermostat of one value. */
static double load(const void *p, int dtype)
{
    return dtype == FLOAT64 ? *(const double *)p : *(const float *)p;
}

static void store(void *p, int dtype, double x)
{
    if (dtype == FLOAT64)
        *(double *)p = x;
    else
        *(float *)p = (float)x;
}

/* The NDArray's first word points to its memory block (native.py checks this once). */
static void *block_of(void *array)
{
    return *(void **)array;
}

static int look_up(const operand *o, void **data)
{
    *data = 0;
    if (!o->array)
        return SG_OK;
    /* First: to be asked for data in another layout, MXNet would wait for this very operation to end. */
    if (o->reorder)
        mx.reorder(block_of(o->array));
    if (mx.data(o->array, data))
        return SG_MXNET;
    return *data ? SG_OK : SG_MEMORY;
}

static int fill_in(job *j, int i)
{
    const tensor *t = j->plan->tensors + i;
    const head *h = &j->head;
    const row *r = j->rows + i;
    sg_task *task = j->tasks + i;
    void **data[PER_TENSOR] = {&task->weight, &task->grad, &task->momentum, &task->alpha, &task->previous,
                               &task->variance, &task->scale, &task->half};
    for (int k = 0; k < PER_TENSOR; k++) {
        int code = look_up(t->operands + k, data[k]);
        if (code)
            return code;
    }
    task->size = t->size;
    task->is_double = t->dtype == FLOAT64;
    task->half_grad = t->grad_dtype == FLOAT16;
    task->kind = !task->momentum ? SG_NO_MOMENTUM : t->element ? SG_ELEMENT : SG_MOMENTUM;
    task->extra = task->previous ? SG_ESTIMATE : task->scale ? SG_SCALE : SG_PLAIN;
    task->sum = task->momentum && (j->alpha_data || (task->alpha && !t->element));
    task->key[0] = (uint32_t)h->seed;
    task->key[1] = (uint32_t)(h->seed >> 32);
    task->counter[0] = (uint32_t)r->ordinal;
    task->counter[1] = (uint32_t)r->count;
    task->counter[2] = (uint32_t)(r->count >> 32);
    task->rescale = h->rescale;
    task->clip = h->clip;
    task->drift = r->drift;
    task->prior = r->prior;
    task->noise = r->noise;
    task->cold = r->cold;
    task->rate = r->rate;
    task->ratio = r->ratio;
    task->alpha_ratio = r->alpha_ratio;
    task->heat = r->heat;
    task->inverse_mass = r->inverse_mass;
    return SG_OK;
}

static int prepare(job *j)
{
    const plan *p = j->plan;
    int code;
    if ((code = look_up(p->shared + SHARED_ALPHA, (void **)&j->alpha_data)) ||
        (code = look_up(p->shared + SHARED_EXCESS, (void **)&j->excess_data)))
        return code;
    for (int i = 0; i < p->count; i++)
        if (p->tensors[i].size && (code = fill_in(j, i)))
            return code;
    return SG_OK;
}

static int thread_count(int64_t elements)
{
#ifdef _OPENMP
    /* The threads of OpenMP do not survive a fork, and waiting for them would hang. */
    if (elements >= SG_PARALLEL && getpid() == loaded_by)
        return threads ? threads : omp_get_max_threads();
#endif
    (void)elements;
    return 1;
}

/* Chunks of tasks[0 .. count) in one list: chunk c of task i has the number first[i] + c. */
static void run_chunks(const sg_task *tasks, const int64_t *first, int count, double *sums, int64_t elements)
{
    int64_t chunks = first[count];
    int n = thread_count(elements);
    (void)n;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(n) if (n > 1)
#endif
    for (int64_t c = 0; c < chunks; c++) {
        int low = 0, high = count;      /* the task i with first[i] <= c < first[i + 1] */
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (first[middle] <= c)
                low = middle;
            else
                high = middle;
        }
        const sg_task *t = tasks + low;
        int64_t at = (c - first[low]) * SG_CHUNK, left = t->size - at;
        sums[c] = isa->chunk(t, at, left < SG_CHUNK ? left : SG_CHUNK);
    }
}

/* alpha', the friction in force on a tensor whose elements share it. */
static double friction(const job *j, int i)
{
    const sg_task *t = j->tasks + i;
    if (j->alpha_data)
        return load(j->alpha_data, j->plan->shared_dtype);
    if (t->alpha && !j->plan->tensors[i].element)
        return t->alpha_ratio * load(t->alpha, j->plan->tensors[i].alpha_dtype);
    return j->rows[i].friction;
}

/* Make a task ready for a part of the step: the factors of v and of the noise that the friction gives. */
static void set_form(job *j, int i, int form)
{
    sg_task *t = j->tasks + i;
    double alpha = friction(j, i), e;
    /* What waits for no sum is done in one pass. */
    t->form = t->kind == SG_NO_MOMENTUM ? SG_EULER : form == SG_KICK && !t->sum ? SG_BADODAB : form;
    if (form == SG_EULER) {
        t->decay = t->ratio * (1 - alpha);
    } else if (form == SG_ABOBA) {
        sg_phi(0.5 * alpha, &e);
        t->after = e;
        t->decay = t->ratio * e;
    } else {
        double phi = sg_phi(alpha, &e);
        t->decay = e;
        t->spread = sqrt(0.5 * phi * (1 + e));
    }
}

/* The thermostats of tasks from .. to - 1, after their chunks. */
static void regulate(job *j, int from, int to, int form, const int64_t *first, const double *sums)
{
    const int half = form == SG_KICK || form == SG_FLUCTUATE;
    double added = 0;
    for (int i = from; i < to; i++) {
        sg_task *t = j->tasks + i;
        int dtype = j->plan->tensors[i].alpha_dtype;
        double sum = 0;
        if (!t->sum)
            continue;
        for (int64_t c = first[i - from]; c < first[i - from + 1]; c++)
            sum += sums[c];
        if (j->excess_data) {
            added += j->rows[i].share * (sum - t->size * t->heat);
            continue;
        }
        store(t->alpha, dtype, t->alpha_ratio * load(t->alpha, dtype)
                                   + (half ? 0.5 : 1) * t->inverse_mass * (sum / t->size - t->heat));
        t->alpha_ratio = 1;     /* it counts once a step */
    }
    if (j->excess_data && half)
        store(j->alpha_data, j->plan->shared_dtype,
              load(j->alpha_data, j->plan->shared_dtype) + j->head.half_gain * added);
    else if (j->excess_data)
        store(j->excess_data, j->plan->shared_dtype, load(j->excess_data, j->plan->shared_dtype) + added);
}

/* A part of the step of tasks that may run side by side, then their thermostats, in order. */
static int run(job *j, int from, int to, int form)
{
    int count = to - from;
    int64_t elements = 0, chunks = 0;
    int64_t *first = malloc((count + 1) * sizeof *first);
    if (!first)
        return SG_MEMORY;
    for (int i = 0; i < count; i++) {
        sg_task *t = j->tasks + from + i;
        set_form(j, from + i, form);
        first[i] = chunks;
        chunks += form == SG_FLUCTUATE && !t->sum ? 0 : (t->size + SG_CHUNK - 1) / SG_CHUNK;
        elements += t->size;
    }
    first[count] = chunks;
    double *sums = malloc((chunks + 1) * sizeof *sums);
    if (sums) {
        run_chunks(j->tasks + from, first, count, sums, elements);
        regulate(j, from, to, form, first, sums);
    }
    free(first);
    free(sums);
    return sums ? SG_OK : SG_MEMORY;
}

/* A part of the step of all tasks. */
static int run_all(job *j, int form)
{
    const plan *p = j->plan;
    int code = SG_OK;
    if (!p->in_order)
        return run(j, 0, p->count, form);
    for (int i = 0; !code && i < p->count; i++)
        code = run(j, i, i + 1, form);
    return code;
}

/* Whether a thermostat needs a sum over several elements in the middle of a step. */
static int has_sums(const job *j)
{
    for (int i = 0; i < j->plan->count; i++)
        if (j->tasks[i].sum)
            return 1;
    return 0;
}

static void operate(void *context, void *param)
{
    job *j = param;
    const plan *p = j->plan;
    const head *h = &j->head;
    int code = prepare(j);
    (void)context;
    if (!code && h->settle && j->alpha_data) {
        double alpha = load(j->alpha_data, p->shared_dtype), excess = load(j->excess_data, p->shared_dtype);
        store(j->alpha_data, p->shared_dtype, h->ratio * (alpha + h->gain * excess));
        store(j->excess_data, p->shared_dtype, 0);
    }
    if (!code && h->integrator == SG_BADODAB && has_sums(j)) {
        code = run_all(j, SG_KICK);
        code = code ? code : run_all(j, SG_FLUCTUATE);
    } else if (!code) {
        code = run_all(j, (int)h->integrator);
    }
    if (code)
        __atomic_store_n(&failure, code, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- the plan */

/* Let go of a plan; the last one to do so, Python or an operation, frees it. */
EXPORT void sg_release(void *pointer)
{
    plan *p = pointer;
    if (__atomic_sub_fetch(&p->references, 1, __ATOMIC_ACQ_REL))
        return;
    for (int i = 0; i < PER_PLAN; i++)
        if (p->shared[i].array)
            mx.release(p->shared[i].array);
    for (int t = 0; t < p->count; t++)
        for (int i = 0; i < PER_TENSOR; i++)
            if (p->tensors[t].operands[i].array)
                mx.release(p->tensors[t].operands[i].array);
    free(p->writes);
    free(p->tensors);
    free(p);
}

static int shape_of(void *array, int *ndim, int64_t *size)
{
    const int64_t *shape;
    if (mx.shape(array, ndim, &shape))
        return SG_MXNET;
    *size = *ndim >= 0;     /* no axes: one number, as mx.np has it; the caller brings no array of unknown shape */
    for (int i = 0; i < *ndim; i++)
        *size *= shape[i];
    return SG_OK;
}

/* Our own copy of an array that goes with the weight: of the same size and dtype, where these are given. */
static int take(void *array, int64_t size, int dtype, operand *o)
{
    int ndim, own;
    int64_t n;
    if (!array)
        return SG_OK;
    if (shape_of(array, &ndim, &n) || mx.dtype(array, &own))
        return SG_MXNET;
    if (n != size || own != dtype)
        return SG_SIZES;
    o->reorder = mx.reorder && ndim > 1;
    return mx.copy(array, &o->array) ? SG_MXNET : SG_OK;
}

/* A thermostat of the tensor's own: one value, or one for every element. */
static int take_alpha(void *array, tensor *t)
{
    int ndim;
    int64_t n;
    if (shape_of(array, &ndim, &n) || mx.dtype(array, &t->alpha_dtype))
        return SG_MXNET;
    if (t->alpha_dtype != FLOAT32 && t->alpha_dtype != FLOAT64)
        return SG_UNFIT;
    t->element = n == t->size && n > 1;
    if (t->element && t->alpha_dtype != t->dtype)
        return SG_UNFIT;
    return take(array, t->element ? t->size : 1, t->alpha_dtype, t->operands + ALPHA);
}

static int take_tensor(void **arrays, int shared, tensor *t)
{
    int ndim, storage, sparse, code;
    if (mx.dtype(arrays[WEIGHT], &t->dtype) || mx.storage(arrays[WEIGHT], &storage) ||
        mx.storage(arrays[GRAD], &sparse) || mx.dtype(arrays[GRAD], &t->grad_dtype) || shape_of(arrays[WEIGHT], &ndim, &t->size))
        return SG_MXNET;
    if ((t->dtype != FLOAT32 && t->dtype != FLOAT64) || storage || sparse || (arrays[PREVIOUS] && arrays[SCALE]))
        return SG_UNFIT;
    if (t->size == 0)
        return SG_OK;
    if (t->grad_dtype != FLOAT16 || !arrays[HALF])
        t->grad_dtype = t->dtype;       /* another one is an error */
    for (int i = 0; i < PER_TENSOR; i++) {
        int dtype = i == GRAD ? t->grad_dtype : i == HALF ? FLOAT16 : t->dtype;
        if (i != ALPHA && (code = take(arrays[i], t->size, dtype, t->operands + i)))
            return code;
    }
    return arrays[ALPHA] && arrays[MOMENTUM] && !shared ? take_alpha(arrays[ALPHA], t) : SG_OK;
}

static int take_shared(void **arrays, plan *p)
{
    int code;
    if (!arrays[SHARED_ALPHA])
        return SG_OK;
    if (mx.dtype(arrays[SHARED_ALPHA], &p->shared_dtype))
        return SG_MXNET;
    if (p->shared_dtype != FLOAT32 && p->shared_dtype != FLOAT64)
        return SG_UNFIT;
    for (int i = 0; i < PER_PLAN; i++)
        if ((code = take(arrays[i], 1, p->shared_dtype, p->shared + i)))
            return code;
    return SG_OK;
}

/* A set of arrays by the memory they live in. */
typedef struct {
    void **slots;
    uint32_t mask;
} names;

/* Name an array as written or read, unless its memory is named already. Returns whether it was. */
static int name(names *s, plan *p, const operand *o, int written)
{
    if (!o->array)
        return 0;
    void *block = block_of(o->array);
    uint32_t at = (uint32_t)(((uintptr_t)block >> 4) * 0x9E3779B1u) & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask)
        if (s->slots[at] == block)
            return 1;
    s->slots[at] = block;
    if (written)
        p->writes[p->n_writes++] = o->array;
    else
        p->reads[p->n_reads++] = o->array;
    return 0;
}

/* What the operation writes first, then what it only reads. A gradient that may have to be laid out afresh counts
 * as written. */
static int name_all(plan *p)
{
    size_t arrays = PER_TENSOR * (size_t)p->count + PER_PLAN, slots = 16;
    while (slots < 2 * arrays)
        slots *= 2;
    names s = {.slots = calloc(slots, sizeof(void *)), .mask = (uint32_t)slots - 1};
    p->writes = malloc(2 * arrays * sizeof *p->writes);
    if (!s.slots || !p->writes) {
        free(s.slots);
        return SG_MEMORY;
    }
    p->reads = p->writes + arrays;
    for (int i = 0; i < PER_PLAN; i++)
        name(&s, p, p->shared + i, 1);
    for (int t = 0; t < p->count; t++)
        for (int i = 0; i < PER_TENSOR; i++)
            if (i != GRAD && i != SCALE)
                p->in_order |= name(&s, p, p->tensors[t].operands + i, 1);
    for (int written = 1; written >= 0; written--)
        for (int t = 0; t < p->count; t++)
            for (int i = GRAD; i <= SCALE; i += SCALE - GRAD)
                if (p->tensors[t].operands[i].reorder == written)
                    name(&s, p, p->tensors[t].operands + i, written);
    free(s.slots);
    return SG_OK;
}

static int fill_plan(plan *p, void **arrays)
{
    int type, code;
    if (mx.context(arrays[PER_PLAN + WEIGHT], &type, p->context + 1))
        return SG_MXNET;
    if (type != CPU && type != CPU_PINNED && type != CPU_SHARED)
        return SG_UNFIT;
    p->context[0] = CPU;
    if ((code = take_shared(arrays, p)))
        return code;
    for (int i = 0; i < p->count; i++)
        if ((code = take_tensor(arrays + PER_PLAN + PER_TENSOR * i, arrays[SHARED_ALPHA] != 0, p->tensors + i)))
            return code;
    return name_all(p);
}

/* A plan for n > 0 tensors. `arrays` holds NDArray handles, 0 for none: the shared alpha and its account, then eight a
 * tensor. Returns a code of the enum above; sg_release() frees the plan. */
EXPORT int sg_plan(void **arrays, int n, void **out)
{
    plan *p = calloc(1, sizeof *p);
    if (!p || !(p->tensors = calloc(n, sizeof *p->tensors))) {
        free(p);
        return SG_MEMORY;
    }
    p->references = 1;
    p->count = n;
    int code = fill_plan(p, arrays);
    if (code)
        sg_release(p);
    else
        *out = p;
    return code;
}

static void discard(void *param)
{
    job *j = param;
    sg_release(j->plan);
    free(j);
}

/* Push one step. `packed` holds a head and a row a tensor. When the code is not SG_OK, nothing was pushed: what
 * went wrong may then have gone wrong in an earlier step. */
EXPORT int sg_push(void *pointer, const void *packed)
{
    plan *p = pointer;
    int code = __atomic_exchange_n(&failure, SG_OK, __ATOMIC_RELAXED);
    if (code)
        return SG_EARLIER;
    size_t rows = p->count * sizeof(row);
    job *j = calloc(1, sizeof *j + rows + p->count * sizeof *j->tasks);
    if (!j)
        return SG_MEMORY;
    j->rows = (row *)(j + 1);
    j->tasks = (sg_task *)((char *)j->rows + rows);
    memcpy(&j->head, packed, sizeof j->head);
    memcpy(j->rows, (const char *)packed + sizeof j->head, rows);
    j->plan = p;
    __atomic_add_fetch(&p->references, 1, __ATOMIC_RELAXED);
    code = mx.push(operate, j, discard, p->context, p->reads, p->n_reads, p->writes, p->n_writes, 0, 0, "sgmcmc_mx");
    return code ? SG_MXNET : SG_OK;
}

/* ---------------------------------------------------------------- the rest of the interface */

/* The functions of MXNet in the order of the struct. Returns sizes to be compared with Python's idea of them. */
EXPORT int sg_start(void *const *functions)
{
    memcpy(&mx, functions, sizeof mx);
    loaded_by = getpid();
    for (int rank = 2; rank >= 0 && !isa; rank--)
        isa = sg_isa_of_rank(rank);
    return (int)(1000 * sizeof(head) + sizeof(row));
}

/* Number of threads for large steps, 0 to leave it to OpenMP. Returns the former number. */
EXPORT int sg_threads(int n)
{
    int before = threads;
    threads = n;
    return before;
}

/* Force an instruction set by rank, for tests. Returns 0 where the processor lacks it. */
EXPORT int sg_use(int rank)
{
    const sg_isa *other = sg_isa_of_rank(rank);
    if (other)
        isa = other;
    return other != 0;
}

EXPORT const char *sg_name(void)
{
    return isa->name;
}

/* The first word of an NDArray, and whether two arrays share memory by it: checked once by native.py. */
EXPORT void *sg_block(void *array)
{
    return block_of(array);
}

static void keys(uint64_t seed, uint64_t step, uint32_t parameter, int stream, uint32_t key[2], uint32_t counter[3])
{
    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32);
    counter[0] = parameter;
    counter[1] = (uint32_t)step;
    counter[2] = (uint32_t)(step >> 32) + ((uint32_t)stream << 24);
}

/* Groups of 64 elements of the stream of one parameter: normals, or the words they come from. */
EXPORT void sg_normals(float *out, int64_t first_group, int64_t groups, uint64_t seed, uint64_t step,
                       uint32_t parameter, int stream)
{
    uint32_t key[2], counter[3];
    keys(seed, step, parameter, stream, key, counter);
    isa->normals(key, counter, first_group, groups, out);
}

EXPORT void sg_words(uint32_t *out, int64_t first_group, int64_t groups, uint64_t seed, uint64_t step,
                     uint32_t parameter, int stream)
{
    uint32_t key[2], counter[3];
    keys(seed, step, parameter, stream, key, counter);
    isa->words(key, counter, first_group, groups, out);
}
