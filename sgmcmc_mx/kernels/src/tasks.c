/* The arithmetic of a step: tasks cut into chunks, chunks spread over threads, then the thermostats, in order. */

/* The same bits everywhere: no product and sum become one operation. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif

#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "plan.h"

/* From here on several threads are worth waking; below, they cost more than they save. */
#define SG_PARALLEL 131072

double load(const void *p, int dtype)
{
    return dtype == FLOAT64 ? *(const double *)p : *(const float *)p;
}

void store(void *p, int dtype, double x)
{
    if (dtype == FLOAT64)
        *(double *)p = x;
    else
        *(float *)p = (float)x;
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

/* What is added to a thermostat before all else; to those by element block by block. */
static void shift_alpha(const job *j, int i)
{
    sg_task *t = j->tasks + i;
    const double shift = j->rows[i].friction;
    const int dtype = j->plan->tensors[i].alpha_dtype;
    if (!t->alpha || shift == 0)
        return;
    if (j->plan->tensors[i].element) {
        t->alpha_shift = shift;
    } else {
        store(t->alpha, dtype, t->alpha_ratio * load(t->alpha, dtype) + shift);
        t->alpha_ratio = 1;
    }
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
        if (form != SG_FLUCTUATE)
            shift_alpha(j, from + i);
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

int run_all(job *j, int form)
{
    const plan *p = j->plan;
    int code = SG_OK;
    if (!p->in_order)
        return run(j, 0, p->count, form);
    for (int i = 0; !code && i < p->count; i++)
        code = run(j, i, i + 1, form);
    return code;
}

int has_sums(const job *j)
{
    for (int i = 0; i < j->plan->count; i++)
        if (j->tasks[i].sum)
            return 1;
    return 0;
}
