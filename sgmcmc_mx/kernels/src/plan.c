/* A plan: our own copies of a job's arrays, held against each other, and named once each for the engine. */
#include <stdlib.h>

#include "plan.h"

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

int shape_of(void *array, int *ndim, int64_t *size)
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
int take(void *array, int64_t size, int dtype, operand *o)
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
        mx.storage(arrays[GRAD], &sparse) || mx.dtype(arrays[GRAD], &t->grad_dtype) ||
        shape_of(arrays[WEIGHT], &ndim, &t->size))
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
    t->operands[CENTRE].reorder = t->operands[UNIT].reorder = 0;    /* flat, and read by several at a time */
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

int begin_names(names *s, size_t arrays)
{
    size_t slots = 16;
    while (slots < 2 * arrays)
        slots *= 2;
    *s = (names){.slots = calloc(slots, sizeof(void *)), .mask = (uint32_t)slots - 1};
    s->owners = malloc(slots * sizeof *s->owners);
    s->writes = malloc(2 * arrays * sizeof *s->writes);
    if (!s->slots || !s->owners || !s->writes) {
        end_names(s);
        free(s->writes);
        return SG_MEMORY;
    }
    s->reads = s->writes + arrays;
    return SG_OK;
}

void end_names(names *s)
{
    free(s->slots);
    free(s->owners);
}

int name(names *s, const operand *o, int written, const void *owner)
{
    if (!o->array)
        return 0;
    void *block = block_of(o->array);
    uint32_t at = (uint32_t)(((uintptr_t)block >> 4) * 0x9E3779B1u) & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask)
        if (s->slots[at] == block)
            return s->owners[at] != owner;
    s->slots[at] = block;
    s->owners[at] = owner;
    if (written)
        s->writes[s->n_writes++] = o->array;
    else
        s->reads[s->n_reads++] = o->array;
    return 0;
}

static int only_read(int i)
{
    return i == GRAD || i == SCALE || i == CENTRE || i == UNIT;
}

/* What the operation writes first, then what it only reads. A gradient that may have to be laid out afresh counts
 * as written. */
void name_plan(names *s, plan *p, int grads_are_written)
{
    for (int i = 0; i < PER_PLAN; i++)
        name(s, p->shared + i, 1, p);
    for (int t = 0; t < p->count; t++)
        for (int i = 0; i < PER_TENSOR; i++)
            if (!only_read(i))
                p->in_order |= name(s, p->tensors[t].operands + i, 1, p->tensors + t);
    for (int written = 1; written >= 0; written--)
        for (int t = 0; t < p->count; t++)
            for (int i = 0; i < PER_TENSOR; i++) {
                const operand *o = p->tensors[t].operands + i;
                if (only_read(i) && (o->reorder || (i == GRAD && grads_are_written)) == written)
                    name(s, o, written, p->tensors + t);
            }
}

static int name_all(plan *p)
{
    names s;
    int code = begin_names(&s, PER_TENSOR * (size_t)p->count + PER_PLAN);
    if (code)
        return code;
    name_plan(&s, p, 0);
    p->writes = s.writes, p->n_writes = s.n_writes;
    p->reads = s.reads, p->n_reads = s.n_reads;
    end_names(&s);
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

/* A plan for n > 0 tensors. `arrays` holds NDArray handles, 0 for none: the shared alpha and its account, then ten a
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
