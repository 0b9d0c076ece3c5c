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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"

sg_mxnet mx;
const sg_isa *isa;
int threads;
pid_t loaded_by;

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
    int code = take_failure();
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

/* Take the instruction set of a rank. Returns 0, and takes none, where the processor lacks it. */
EXPORT int sg_use(int rank)
{
    const sg_isa *other = sg_isa_of_rank(rank);
    if (other)
        isa = other;
    return other != 0;
}

EXPORT int sg_has(int rank)
{
    return sg_isa_of_rank(rank) != 0;
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
