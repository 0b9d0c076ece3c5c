/* One step of a list of tensors as one operation of MXNet's engine.
 *
 * No MXNet header is needed: native.py hands over the few functions of MXNet's C API that are called. sg_push
 * runs on Python's thread and only prepares; the arithmetic runs on an engine thread, ordered by the engine with
 * every other operation on the same arrays.
 *
 * Three things about MXNet's arrays shape what follows.
 * - An NDArray may be deleted while an operation on it is pending (its memory is kept, the object is not). So
 *   data pointers are taken when the step is pushed; where memory does not exist yet, or may move before the
 *   step runs, the operation owns a copy of the NDArray (not of its data).
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
enum { SG_OK = 0, SG_UNFIT = 1, SG_SIZES = 2, SG_MEMORY = 3, SG_MXNET = -1 };
enum { FLOAT32 = 0, FLOAT64 = 1 };
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

/* A tensor as native.py packs it. */
typedef struct {
    void *weight, *grad, *momentum, *alpha, *previous, *variance;       /* NDArray handles, 0 for none */
    uint64_t ordinal, count;
    double drift, prior, noise, ratio, alpha_ratio, friction, heat, inverse_mass, share, rate;
} row;

typedef struct {
    uint64_t seed;
    double rescale, clip, ratio, gain;      /* clip may be infinite */
    void *alpha, *excess;                   /* the shared thermostat, 0 for none */
    uint64_t settle;
} head;

/* What a tensor needs besides its arithmetic. */
typedef struct {
    const row *row;             /* while the step is prepared */
    double friction, share;
    int alpha_dtype;            /* of a thermostat of one value */
    int grad_moves;             /* the gradient may have to be laid out afresh */
} extra;

/* Data to be looked up when the operation runs. */
typedef struct {
    void *array;                /* an NDArray that the operation owns */
    void **data;
    int reorder;
} late;

typedef struct {
    int count, lates, in_order;
    int shared, shared_dtype, settle;
    double ratio, gain;
    void *alpha, *excess;
    sg_task *tasks;
    extra *extras;
    late *late;
} job;

/* ---------------------------------------------------------------- the operation */

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

static int look_up(job *j)
{
    for (late *l = j->late; l < j->late + j->lates; l++) {
        if (l->reorder)
            mx.reorder(block_of(l->array));
        if (mx.data(l->array, l->data))
            return SG_MXNET;
        if (!*l->data)
            return SG_MEMORY;
    }
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

/* The factor of v that is in force: ratio * (1 - alpha'). */
static double decay(const job *j, const sg_task *t, const extra *e)
{
    if (j->shared)
        return t->ratio * (1 - load(j->alpha, j->shared_dtype));
    if (t->alpha && !t->element)
        return t->ratio * (1 - t->alpha_ratio * load(t->alpha, e->alpha_dtype));
    return t->ratio * (1 - e->friction);
}

/* Tasks that may run side by side, then their thermostats, in order. */
static int run(job *j, int from, int to)
{
    sg_task *tasks = j->tasks + from;
    int count = to - from;
    int64_t *first = malloc((count + 1) * sizeof *first), elements = 0;
    if (!first)
        return SG_MEMORY;
    first[0] = 0;
    for (int i = 0; i < count; i++) {
        tasks[i].decay = decay(j, tasks + i, j->extras + from + i);
        first[i + 1] = first[i] + (tasks[i].size + SG_CHUNK - 1) / SG_CHUNK;
        elements += tasks[i].size;
    }
    double *sums = malloc((first[count] + 1) * sizeof *sums), added = 0;
    if (!sums) {
        free(first);
        return SG_MEMORY;
    }
    run_chunks(tasks, first, count, sums, elements);
    for (int i = 0; i < count; i++) {
        sg_task *t = tasks + i;
        extra *e = j->extras + from + i;
        double sum = 0;
        for (int64_t c = first[i]; c < first[i + 1]; c++)
            sum += sums[c];
        if (j->shared)
            added += e->share * (sum - t->size * t->heat);
        else if (t->alpha && !t->element)
            store(t->alpha, e->alpha_dtype, t->alpha_ratio * load(t->alpha, e->alpha_dtype) +
                  t->inverse_mass * (sum / t->size - t->heat));
    }
    if (j->shared)
        store(j->excess, j->shared_dtype, load(j->excess, j->shared_dtype) + added);
    free(sums);
    free(first);
    return SG_OK;
}

static void operate(void *context, void *param)
{
    job *j = param;
    int code = look_up(j);
    (void)context;
    if (!code && j->settle) {
        double alpha = load(j->alpha, j->shared_dtype), excess = load(j->excess, j->shared_dtype);
        store(j->alpha, j->shared_dtype, j->ratio * (alpha + j->gain * excess));
        store(j->excess, j->shared_dtype, 0);
    }
    if (!code && !j->in_order)
        code = run(j, 0, j->count);
    for (int i = 0; !code && j->in_order && i < j->count; i++)
        code = run(j, i, i + 1);
    if (code)
        __atomic_store_n(&failure, code, __ATOMIC_RELAXED);
}

static void discard(void *param)
{
    job *j = param;
    for (int i = 0; i < j->lates; i++)
        mx.release(j->late[i].array);
    free(j);
}

/* ---------------------------------------------------------------- preparing it */

/* A set of arrays by the memory they live in. */
typedef struct {
    void **slots;
    uint32_t mask;
    void **writes, **reads;
    int n_writes, n_reads, repeated;
} names;

static void name(names *s, void *array, int written)
{
    void *block = block_of(array);
    uint32_t at = (uint32_t)(((uintptr_t)block >> 4) * 0x9E3779B1u);
    for (at &= s->mask; s->slots[at]; at = (at + 1) & s->mask)
        if (s->slots[at] == block) {
            s->repeated |= written;
            return;
        }
    s->slots[at] = block;
    if (written)
        s->writes[s->n_writes++] = array;
    else
        s->reads[s->n_reads++] = array;
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

/* Data of an array, now or, where they may not be where they are, when the operation runs. */
static int data_of(job *j, void *array, int movable, void **data)
{
    *data = 0;
    if (!movable && mx.data(array, data))
        return SG_MXNET;
    if (*data)
        return SG_OK;
    late *l = j->late + j->lates;
    if (mx.copy(array, &l->array))
        return SG_MXNET;
    l->data = data;
    l->reorder = movable;
    j->lates++;
    return SG_OK;
}

/* An array in step with the weight: same dtype, same size. */
static int companion(job *j, void *array, int dtype, int64_t size, void **data)
{
    int ndim, own, code;
    int64_t n;
    if (!array) {
        *data = 0;
        return SG_OK;
    }
    if ((code = shape_of(array, &ndim, &n)))
        return code;
    if (mx.dtype(array, &own))
        return SG_MXNET;
    if (n != size || own != dtype)
        return SG_SIZES;
    return data_of(j, array, 0, data);
}

static int prepare_alpha(job *j, const row *r, sg_task *t, extra *e)
{
    int ndim, code;
    int64_t n;
    if (!r->alpha || !r->momentum || j->shared)
        return SG_OK;
    if ((code = shape_of(r->alpha, &ndim, &n)))
        return code;
    if (mx.dtype(r->alpha, &e->alpha_dtype))
        return SG_MXNET;
    t->element = n == t->size && n > 1;
    if (!t->element && n != 1)
        return SG_SIZES;
    if (e->alpha_dtype != FLOAT32 && e->alpha_dtype != FLOAT64)
        return SG_UNFIT;
    if (t->element && e->alpha_dtype != (t->is_double ? FLOAT64 : FLOAT32))
        return SG_UNFIT;
    return data_of(j, r->alpha, 0, &t->alpha);
}

static void coefficients(const head *common, const row *r, sg_task *t)
{
    t->key[0] = (uint32_t)common->seed;
    t->key[1] = (uint32_t)(common->seed >> 32);
    t->counter[0] = (uint32_t)r->ordinal;
    t->counter[1] = (uint32_t)r->count;
    t->counter[2] = (uint32_t)(r->count >> 32);
    t->rescale = common->rescale;
    t->clip = common->clip;
    t->drift = r->drift;
    t->prior = r->prior;
    t->noise = r->noise;
    t->rate = r->rate;
    t->ratio = r->ratio;
    t->alpha_ratio = r->alpha_ratio;
    t->heat = r->heat;
    t->inverse_mass = r->inverse_mass;
}

static int prepare(job *j, const head *common, const row *r, sg_task *t, extra *e)
{
    int ndim, dtype, storage, sparse, code;
    if (mx.dtype(r->weight, &dtype) || mx.storage(r->weight, &storage) || mx.storage(r->grad, &sparse) ||
        shape_of(r->weight, &ndim, &t->size))
        return SG_MXNET;
    if ((dtype != FLOAT32 && dtype != FLOAT64) || storage || sparse)
        return SG_UNFIT;
    if (t->size == 0)
        return SG_OK;
    t->is_double = dtype == FLOAT64;
    /* Matrices and kernels of convolutions may be laid out afresh; gradients of more than two axes too. */
    if ((code = data_of(j, r->weight, ndim > 1 && mx.reorder, &t->weight)))
        return code;
    if (ndim > 2) {
        int n, own;
        int64_t size;
        if (shape_of(r->grad, &n, &size) || mx.dtype(r->grad, &own))
            return SG_MXNET;
        if (size != t->size || own != dtype)
            return SG_SIZES;
        e->grad_moves = mx.reorder != 0;
        code = data_of(j, r->grad, e->grad_moves, &t->grad);
    } else {
        code = companion(j, r->grad, dtype, t->size, &t->grad);
    }
    if (code || (code = companion(j, r->momentum, dtype, t->size, &t->momentum)) ||
        (code = companion(j, r->previous, dtype, t->size, &t->previous)) ||
        (code = companion(j, r->variance, dtype, t->size, &t->variance)) || (code = prepare_alpha(j, r, t, e)))
        return code;
    t->sum = r->momentum && (j->shared || (r->alpha && !t->element));
    e->row = r;
    e->friction = r->friction;
    e->share = r->momentum ? r->share : 0;
    coefficients(common, r, t);
    return SG_OK;
}

static int prepare_shared(job *j, const head *common)
{
    int other;
    if (!common->alpha)
        return SG_OK;
    if (mx.dtype(common->alpha, &j->shared_dtype) || mx.dtype(common->excess, &other))
        return SG_MXNET;
    if (other != j->shared_dtype || (other != FLOAT32 && other != FLOAT64))
        return SG_UNFIT;
    j->shared = 1;
    j->settle = common->settle != 0;
    j->ratio = common->ratio;
    j->gain = common->gain;
    int code = data_of(j, common->alpha, 0, &j->alpha);
    return code ? code : data_of(j, common->excess, 0, &j->excess);
}

#define PER_ROW 6       /* arrays of a row */

/* One block of memory for a job of n tensors, freed by discard(). */
static job *new_job(int n)
{
    size_t tasks = n * sizeof(sg_task), extras = n * sizeof(extra);
    size_t lates = (PER_ROW * (size_t)n + 2) * sizeof(late);
    job *j = calloc(1, sizeof(job) + tasks + extras + lates);
    if (j) {
        j->tasks = (sg_task *)(j + 1);
        j->extras = (extra *)((char *)j->tasks + tasks);
        j->late = (late *)((char *)j->extras + extras);
    }
    return j;
}

/* Name what the operation writes, then what it only reads. */
static void name_all(names *s, const job *j, const head *common)
{
    for (const extra *e = j->extras; e < j->extras + j->count; e++) {
        const row *r = e->row;
        void *written[] = {r->weight, r->momentum, r->alpha, r->previous, r->variance};
        for (int i = 0; i < 5; i++)
            if (written[i])
                name(s, written[i], 1);
    }
    if (j->shared) {
        name(s, common->excess, 1);
        name(s, common->alpha, j->settle);
    }
    int repeated = s->repeated;
    for (const extra *e = j->extras; e < j->extras + j->count; e++)
        if (e->grad_moves)
            name(s, e->row->grad, 1);
    for (const extra *e = j->extras; e < j->extras + j->count; e++)
        name(s, e->row->grad, 0);
    s->repeated = repeated;
}

static int push(job *j, const head *common, const row *rows, int n)
{
    int context[2];
    size_t arrays = PER_ROW * (size_t)n + 2, slots = 16;
    while (slots < 2 * arrays)
        slots *= 2;
    if (mx.context(rows->weight, &context[0], &context[1])) {
        discard(j);
        return SG_MXNET;
    }
    void **memory = calloc(slots + 2 * arrays, sizeof *memory);
    if (!memory) {
        discard(j);
        return SG_MEMORY;
    }
    names s = {.slots = memory, .mask = (uint32_t)slots - 1, .writes = memory + slots,
               .reads = memory + slots + arrays};
    name_all(&s, j, common);
    /* Two tensors with the same momentum or thermostat, say: the second starts where the first has ended. */
    j->in_order = s.repeated;
    context[0] = CPU;
    int code = mx.push(operate, j, discard, context, s.reads, s.n_reads, s.writes, s.n_writes, 0, 0, "sgmcmc_mx_step");
    free(memory);
    return code ? SG_MXNET : SG_OK;
}

/* Push one step. `packed` holds a head and n rows. Returns a code of the enum above; when it is not SG_OK,
 * nothing was pushed. */
EXPORT int sg_push(const void *packed, int n)
{
    const head *common = packed;
    const row *rows = (const row *)(common + 1);
    int code, type, id;
    if ((code = __atomic_exchange_n(&failure, SG_OK, __ATOMIC_RELAXED)))
        return code == SG_MXNET ? SG_MXNET : SG_MEMORY;
    if (n <= 0)
        return SG_OK;
    if (mx.context(rows->weight, &type, &id))
        return SG_MXNET;
    if (type != CPU && type != CPU_PINNED && type != CPU_SHARED)
        return SG_UNFIT;
    job *j = new_job(n);
    if (!j)
        return SG_MEMORY;
    code = prepare_shared(j, common);
    for (int i = 0; !code && i < n; i++) {
        code = prepare(j, common, rows + i, j->tasks + j->count, j->extras + j->count);
        j->count += !code && j->tasks[j->count].size > 0;
    }
    if (code) {
        discard(j);
        return code;
    }
    return push(j, common, rows, n);
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
