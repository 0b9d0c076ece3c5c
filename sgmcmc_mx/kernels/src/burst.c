/* Many steps of several chains as one operation of MXNet's engine: minibatch, gradient and update, on data in memory.
 *
 * Of several small chains each is one thread's work from its first step to its last, so that they wait for nothing. Bits
 * depend neither on how many there are nor on the threads. The update is that of operation.c, the gradient of dense.c.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "dense.h"
#include "plan.h"

#define SG_LARGE 262144         /* weights */

enum { INPUTS, LABELS, TOLD, PER_CHAIN };

/* What native dense.py packs of a network: this, then `layers` of the next, then the sigmas of the outputs. */
typedef struct {
    int64_t layers, likelihood, label_width, batch, examples, sigmas;
    double ignored;
} outline;

typedef struct {
    int64_t units, activation, weight, bias;    /* weight and bias: places in the plan, -1 for none */
    double slope;
    int64_t kind, image[3], kernel[2], stride[2], pad[2];   /* of others than dense ones; image: what comes in */
} outline_layer;

typedef struct {
    plan *plan;
    operand operands[PER_CHAIN];
    sg_network net;
    outline_layer *outline;
    int64_t examples;
    void *memory;
} chain;

typedef struct {
    int references, count, context[2];
    chain *chains;
    void **writes, **reads;
    int n_writes, n_reads;
} burst;

/* What a chain is to do: `steps` gradients, each with a minibatch, and after each an update where there are any. */
typedef struct {
    int64_t steps;
    const void *coefficients;       /* a head and rows a step, as sg_push takes them; 0: only the gradient is wanted */
    const int32_t *sizes, *rows;    /* of the minibatches, one after the other */
} errand;

typedef struct {
    burst *burst;
    errand *errands;
} errands;

/* ---------------------------------------------------------------- what is known before the first step */

EXPORT void sg_burst_release(void *pointer)
{
    burst *b = pointer;
    if (__atomic_sub_fetch(&b->references, 1, __ATOMIC_ACQ_REL))
        return;
    for (int k = 0; k < b->count; k++) {
        chain *c = b->chains + k;
        for (int i = 0; i < PER_CHAIN; i++)
            if (c->operands[i].array)
                mx.release(c->operands[i].array);
        if (c->plan)
            sg_release(c->plan);
        free(c->net.layer);
        free(c->net.value);
        free(c->outline);
        free(c->memory);
    }
    free(b->chains);
    free(b->writes);
    free(b);
}

/* The arrays that a gradient needs, in one piece of memory whose parts begin at a vector's boundary. */
static int make_room(sg_network *net, void **memory)
{
    int64_t widest = 0, columns = 0, sums = 0, total = 2 * SG_PAD + SG_SLACK;
    for (int i = 0; i <= net->layers; i++) {
        int64_t width = SG_PADDED(i ? net->layer[i - 1].out : net->layer[0].in);
        widest = width > widest ? width : widest;
        total += net->batch * width;
    }
    for (int i = 0; i < net->layers; i++) {
        const sg_layer *l = net->layer + i;
        const sg_window *v = &l->window;
        if (l->kind != SG_CONVOLUTION)
            continue;
        const int64_t rows = v->channels * v->kernel[0] * v->kernel[1] + 1, places = SG_PADDED(v->high * v->wide);
        columns = rows * places > columns ? rows * places : columns;
        sums = l->units * rows * SG_PAD > sums ? l->units * rows * SG_PAD : sums;
    }
    total += 2 * net->batch * widest + widest + SG_TEAMS * (2 * columns + sums);
    float *at = *memory = calloc(total, sizeof *at);    /* padding is never written: it must be numbers */
    if (!at)
        return SG_MEMORY;
    at += (-(uintptr_t)at / sizeof *at) % SG_PAD;
    for (int i = 0; i <= net->layers; i++) {
        net->value[i] = at;
        at += net->batch * SG_PADDED(i ? net->layer[i - 1].out : net->layer[0].in);
    }
    for (int i = 0; i < 2; i++, at += net->batch * widest)
        net->delta[i] = at;
    net->bias = at;
    net->columns = at + widest;
    net->room = columns;
    net->patches = net->columns + SG_TEAMS * columns;
    net->sums = net->patches + SG_TEAMS * columns;
    return SG_OK;
}

/* The window of a layer that is not dense. */
static int look_through(const outline_layer *o, int64_t in, sg_layer *l)
{
    sg_window *v = &l->window;
    v->channels = o->image[0], v->height = o->image[1], v->width = o->image[2];
    for (int i = 0; i < 2; i++) {
        v->kernel[i] = o->kernel[i], v->stride[i] = o->stride[i], v->pad[i] = o->pad[i];
        if (o->image[i + 1] < 1 || o->kernel[i] < 1 || o->stride[i] < 1 || o->pad[i] < 0 ||
            o->image[i + 1] + 2 * o->pad[i] < o->kernel[i])
            return SG_SIZES;
    }
    v->high = (v->height + 2 * v->pad[0] - v->kernel[0]) / v->stride[0] + 1;
    v->wide = (v->width + 2 * v->pad[1] - v->kernel[1]) / v->stride[1] + 1;
    l->out = l->units * v->high * v->wide;
    if (v->channels < 1 || v->channels * v->height * v->width != in)
        return SG_SIZES;
    return o->kind == SG_MAX_POOLING && (v->pad[0] || v->pad[1] || l->units != v->channels) ? SG_SIZES : SG_OK;
}

/* Hold a layer against the arrays of its weight and bias; in: what comes into it. */
static int join(const plan *p, const outline_layer *o, int64_t in, sg_layer *l)
{
    l->kind = (int)o->kind;
    l->in = in;
    l->out = l->units = o->units;
    l->activation = (int)o->activation;
    l->slope = (float)o->slope;
    if (o->units < 1)
        return SG_SIZES;
    if (l->kind != SG_DENSE && look_through(o, in, l))
        return SG_SIZES;
    const int64_t each = l->kind == SG_DENSE ? in : o->image[0] * o->kernel[0] * o->kernel[1];
    const int64_t places[2] = {o->weight, o->bias}, sizes[2] = {each * o->units, o->units};
    for (int i = 0; i < 2; i++) {
        if (places[i] < 0 && (i || l->kind == SG_MAX_POOLING))
            continue;
        if (places[i] < 0 || places[i] >= p->count || p->tensors[places[i]].size != sizes[i])
            return SG_SIZES;
        if (p->tensors[places[i]].dtype != FLOAT32 || p->tensors[places[i]].grad_dtype != FLOAT32)
            return SG_UNFIT;
    }
    return SG_OK;
}

static int take_network(chain *c, const outline *o, int64_t width)
{
    sg_network *net = &c->net;
    const outline_layer *layers = (const outline_layer *)(o + 1);
    const size_t sigmas = o->sigmas * sizeof(double), bytes = o->layers * sizeof *layers + sigmas;
    net->layers = (int)o->layers;
    net->likelihood = (int)o->likelihood;
    net->label_width = o->label_width;
    net->ignored = o->ignored;
    net->batch = o->batch;
    net->layer = calloc(o->layers, sizeof *net->layer);
    net->value = calloc(o->layers + 1, sizeof *net->value);
    c->outline = malloc(bytes);
    if (!net->layer || !net->value || !c->outline)
        return SG_MEMORY;
    memcpy(c->outline, layers, bytes);
    net->sigma = (const double *)(c->outline + o->layers);
    for (int i = 0; i < net->layers; i++, width = net->layer[i - 1].out) {
        int code = join(c->plan, c->outline + i, width, net->layer + i);
        if (code)
            return code;
    }
    return make_room(net, &c->memory);
}

/* Inputs and labels, one row an example, and where the chain tells what it has seen. */
static int take_chain(chain *c, plan *p, void **arrays, const outline *o)
{
    int ndim, code;
    int64_t size;
    __atomic_add_fetch(&p->references, 1, __ATOMIC_RELAXED);
    c->plan = p;
    c->examples = o->examples;
    if (shape_of(arrays[INPUTS], &ndim, &size))
        return SG_MXNET;
    if (o->layers < 1 || o->examples < 1 || size % o->examples)
        return SG_SIZES;
    if ((code = take(arrays[INPUTS], size, FLOAT32, c->operands + INPUTS)) ||
        (code = take(arrays[LABELS], o->examples * o->label_width, FLOAT32, c->operands + LABELS)) ||
        (code = take(arrays[TOLD], 2 + 2 * p->count, FLOAT64, c->operands + TOLD)))
        return code;
    /* Read by others at the same time: not ours to lay out. */
    c->operands[INPUTS].reorder = c->operands[LABELS].reorder = 0;
    return take_network(c, o, size / o->examples);
}

static int name_chains(burst *b)
{
    names s;
    size_t arrays = 0;
    for (int k = 0; k < b->count; k++)
        arrays += PER_TENSOR * (size_t)b->chains[k].plan->count + PER_PLAN + PER_CHAIN;
    int code = begin_names(&s, arrays);
    if (code)
        return code;
    for (int k = 0; k < b->count && !code; k++) {
        plan *p = b->chains[k].plan;
        const int tied = p->in_order;
        p->in_order = 0;
        name_plan(&s, p, 1);
        if (p->in_order || tied || name(&s, b->chains[k].operands + TOLD, 1, b->chains + k))
            code = SG_UNFIT;        /* memory that two tensors, or two chains, have in common */
        p->in_order = tied;
    }
    for (int k = 0; k < b->count; k++)
        for (int i = INPUTS; i <= LABELS; i++)
            name(&s, b->chains[k].operands + i, 0, b);
    b->writes = s.writes, b->n_writes = s.n_writes;
    b->reads = s.reads, b->n_reads = s.n_reads;
    end_names(&s);
    return code;
}

/* What is known of `count` chains: their plans; for each three arrays (inputs, labels, and the float64 of what it
 * tells); an outline each. Returns a code of plan.h; sg_burst_release() frees it. */
EXPORT int sg_burst(void **plans, void **arrays, const void **outlines, int count, void **out)
{
    burst *b = calloc(1, sizeof *b);
    if (!b || !(b->chains = calloc(count, sizeof *b->chains))) {
        free(b);
        return SG_MEMORY;
    }
    int code = SG_OK;
    b->references = 1;
    b->count = count;
    memcpy(b->context, ((plan *)plans[0])->context, sizeof b->context);
    for (int k = 0; k < count && !code; k++)
        code = take_chain(b->chains + k, plans[k], arrays + PER_CHAIN * k, outlines[k]);
    code = code ? code : name_chains(b);
    if (code)
        sg_burst_release(b);
    else
        *out = b;
    return code;
}

/* ---------------------------------------------------------------- the steps */

/* Point a network to the data of its arrays, which `find` has looked up. */
static void connect(chain *c, const job *j)
{
    for (int i = 0; i < c->net.layers; i++) {
        sg_layer *l = c->net.layer + i;
        const outline_layer *o = c->outline + i;
        l->weight = l->bias = 0;
        l->weight_grad = l->bias_grad = 0;
        if (o->weight >= 0) {
            l->weight = j->tasks[o->weight].weight;
            l->weight_grad = j->tasks[o->weight].grad;
        }
        if (o->bias >= 0) {
            l->bias = j->tasks[o->bias].weight;
            l->bias_grad = j->tasks[o->bias].grad;
        }
    }
}

/* Of `n` numbers, in sums of fixed number, so that they are vectorised. */
static double square(const float *x, int64_t n)
{
    double sum[8] = {0}, total = 0;
    int64_t i = 0;
    for (; x && i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += (double)x[i + k] * x[i + k];
    for (; x && i < n; i++)
        total += (double)x[i] * x[i];
    for (int k = 0; k < 8; k++)
        total += sum[k];
    return total;
}

/* What is told after the last step: the mean -log p of its minibatch; the sum of all squares, of weights, gradients and
 * thermostats, infinite where a float would be; and for each tensor the squares of its weights, and of its momenta. */
static void tell(const job *j, double loss, double *told)
{
    const plan *p = j->plan;
    double all = j->alpha_data ? pow(load(j->alpha_data, p->shared_dtype), 2) : 0;
    for (int i = 0; i < p->count; i++) {
        const sg_task *t = j->tasks + i;
        told[2 + 2 * i] = square(t->weight, t->size);
        told[3 + 2 * i] = square(t->momentum, t->size);
        all += told[2 + 2 * i] + square(t->grad, t->size);
        if (t->alpha)
            all += p->tensors[i].element ? square(t->alpha, t->size)
                                         : pow(load(t->alpha, p->tensors[i].alpha_dtype), 2);
    }
    told[0] = loss;
    told[1] = all <= FLT_MAX ? all : all != all ? all : INFINITY;
}

static int walk(chain *c, const errand *e, job *j, void *const data[PER_CHAIN])
{
    const size_t rows = c->plan->count * sizeof(row);
    const char *packed = e->coefficients;
    const int32_t *numbers = e->rows;
    sg_gradient *gradient = sg_gradient_of_rank(isa->rank);
    double loss = 0;
    for (int64_t s = 0; s < e->steps; s++) {
        loss = gradient(&c->net, data[INPUTS], data[LABELS], numbers, e->sizes[s]) / e->sizes[s];
        numbers += e->sizes[s];
        if (!packed)
            continue;
        memcpy(&j->head, packed, sizeof j->head);
        memcpy(j->rows, packed + sizeof j->head, rows);
        packed += sizeof j->head + rows;
        int code = carry_out(j);
        if (code)
            return code;
    }
    tell(j, loss, data[TOLD]);
    return SG_OK;
}

static int run_chain(chain *c, const errand *e)
{
    const int count = c->plan->count;
    void *data[PER_CHAIN];
    if (!e->steps)
        return SG_OK;
    job *j = calloc(1, sizeof *j + count * (sizeof(row) + sizeof(sg_task)));
    if (!j)
        return SG_MEMORY;
    j->plan = c->plan;
    j->rows = (row *)(j + 1);
    j->tasks = (sg_task *)(j->rows + count);
    int code = find(j);
    for (int i = 0; i < PER_CHAIN && !code; i++)
        code = look_up(c->operands + i, data + i);
    if (!code) {
        connect(c, j);
        code = walk(c, e, j, data);
    }
    free(j);
    return code;
}

static int thread_count(void)
{
#ifdef _OPENMP
    /* The threads of OpenMP do not survive a fork, and waiting for them would hang. */
    if (getpid() == loaded_by)
        return threads ? threads : omp_get_max_threads();
#endif
    return 1;
}

/* Whether the arrays of a chain fill a cache by themselves. Then chains run one after the other, and the threads share
 * their products. */
static int is_large(const burst *b)
{
    int64_t most = 0;
    for (int k = 0; k < b->count; k++) {
        int64_t size = 0;
        for (int i = 0; i < b->chains[k].plan->count; i++)
            size += b->chains[k].plan->tensors[i].size;
        most = size > most ? size : most;
    }
    return most >= SG_LARGE;
}

static void operate_chains(void *context, void *param)
{
    errands *all = param;
    burst *b = all->burst;
    const int most = thread_count(), n = most < b->count ? most : b->count;
    (void)context;
    if (b->count == 1 || is_large(b)) {
        for (int k = 0; k < b->count; k++) {
            b->chains[k].net.threads = most;
            note_failure(run_chain(b->chains + k, all->errands + k));
        }
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(n) if (n > 1)
#endif
    for (int k = 0; k < b->count; k++) {
        b->chains[k].net.threads = 1;
        note_failure(run_chain(b->chains + k, all->errands + k));
    }
}

static void discard(void *param)
{
    errands *all = param;
    sg_burst_release(all->burst);
    free(all);
}

static char *add(char *to, const void **from, size_t bytes)
{
    if (*from)
        *from = memcpy(to, *from, bytes);
    return to + (bytes + 7) / 8 * 8;
}

/* Push an errand for each chain. Sizes and numbers of rows are checked here; when the code is not SG_OK nothing was
 * pushed. */
EXPORT int sg_burst_push(void *pointer, const errand *given)
{
    burst *b = pointer;
    if (take_failure())
        return SG_EARLIER;
    size_t bytes = sizeof(errands) + b->count * sizeof(errand), coefficients, examples;
    for (int k = 0; k < b->count; k++) {
        const chain *c = b->chains + k;
        examples = 0;
        for (int64_t s = 0; s < given[k].steps; s++) {
            if (given[k].sizes[s] < 1 || given[k].sizes[s] > c->net.batch)
                return SG_SIZES;
            examples += given[k].sizes[s];
        }
        for (size_t i = 0; i < examples; i++)
            if (given[k].rows[i] < 0 || given[k].rows[i] >= c->examples)
                return SG_SIZES;
        bytes += given[k].steps * (sizeof(head) + c->plan->count * sizeof(row) + 4) + 4 * examples + 32;
    }
    errands *all = malloc(bytes);
    if (!all)
        return SG_MEMORY;
    all->burst = b;
    all->errands = (errand *)(all + 1);
    memcpy(all->errands, given, b->count * sizeof *given);
    char *at = (char *)(all->errands + b->count);
    for (int k = 0; k < b->count; k++) {
        errand *e = all->errands + k;
        examples = 0;
        for (int64_t s = 0; s < e->steps; s++)
            examples += e->sizes[s];
        coefficients = sizeof(head) + b->chains[k].plan->count * sizeof(row);
        at = add(at, &e->coefficients, e->steps * coefficients);
        at = add(at, (const void **)&e->sizes, e->steps * sizeof *e->sizes);
        at = add(at, (const void **)&e->rows, examples * sizeof *e->rows);
    }
    __atomic_add_fetch(&b->references, 1, __ATOMIC_RELAXED);
    int code = mx.push(operate_chains, all, discard, b->context, b->reads, b->n_reads, b->writes, b->n_writes, 0, 0,
                       "sgmcmc_mx_burst");
    return code ? SG_MXNET : SG_OK;
}
