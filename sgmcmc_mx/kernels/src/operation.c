/* The operation that the engine runs: the data of a plan's arrays are looked up, and its tasks carried out. */
#include "plan.h"

static int failure;             /* of an operation, which has nobody to tell */

int look_up(const operand *o, void **data)
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

/* The data of a tensor's arrays, and what of its task never changes. */
static int find_tensor(job *j, int i)
{
    const tensor *t = j->plan->tensors + i;
    sg_task *task = j->tasks + i;
    void **data[PER_TENSOR] = {&task->weight, &task->grad, &task->momentum, &task->alpha, &task->previous,
                               &task->variance, &task->scale, &task->half, &task->centre, &task->unit};
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
    return SG_OK;
}

/* The coefficients of one step of it. */
static void fill_in(job *j, int i)
{
    const head *h = &j->head;
    const row *r = j->rows + i;
    sg_task *task = j->tasks + i;
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
    task->alpha_shift = 0;
    task->heat = r->heat;
    task->inverse_mass = r->inverse_mass;
    task->law = (int)r->law;
    task->inverse = r->inverse;
    task->first = r->first;
    task->second = r->second;
}

int find(job *j)
{
    const plan *p = j->plan;
    int code;
    if ((code = look_up(p->shared + SHARED_ALPHA, (void **)&j->alpha_data)) ||
        (code = look_up(p->shared + SHARED_EXCESS, (void **)&j->excess_data)))
        return code;
    for (int i = 0; i < p->count; i++)
        if (p->tensors[i].size && (code = find_tensor(j, i)))
            return code;
    return SG_OK;
}

int carry_out(job *j)
{
    const plan *p = j->plan;
    const head *h = &j->head;
    for (int i = 0; i < p->count; i++)
        fill_in(j, i);
    if (h->settle && j->alpha_data) {
        double alpha = load(j->alpha_data, p->shared_dtype), excess = load(j->excess_data, p->shared_dtype);
        store(j->alpha_data, p->shared_dtype, h->ratio * (alpha + h->gain * excess) + h->shift);
        store(j->excess_data, p->shared_dtype, 0);
    }
    if (h->integrator == SG_BADODAB && has_sums(j)) {
        int code = run_all(j, SG_KICK);
        return code ? code : run_all(j, SG_FLUCTUATE);
    }
    return run_all(j, (int)h->integrator);
}

void note_failure(int code)
{
    if (code)
        __atomic_store_n(&failure, code, __ATOMIC_RELAXED);
}

void operate(void *context, void *param)
{
    job *j = param;
    int code = find(j);
    (void)context;
    note_failure(code ? code : carry_out(j));
}

int take_failure(void)
{
    return __atomic_exchange_n(&failure, SG_OK, __ATOMIC_RELAXED);
}
