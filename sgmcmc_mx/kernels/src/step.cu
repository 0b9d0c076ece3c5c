/* The fused step on a GPU: new momentum, new weight, fresh normal noise and the sum of squares in one pass, in place,
 * for a list of tensors. See noise.py for the stream and job.py for the equations; the names are theirs.
 *
 * The file stands alone: no includes, C++98, so that NVRTC (mx.rtc, CuPy's RawModule) and nvcc compile it. Which step
 * it is, and of how many tensors, is said by definitions in front of it (cuda_source.py writes them):
 *
 *     REAL        float or double, the type of the arrays
 *     KIND        NONE, FRICTION, PER_TENSOR, PER_ELEMENT, SHARED: without momentum, and whose thermostat it is
 *     FORM        EULER, ABOBA, BADODAB: the integrator (EULER without momentum). Where the thermostat of 'badodab'
 *                 needs a sum over several elements in the middle, a step is two, KICK and FLUCTUATE
 *     ESTIMATE    1 with a running estimate of the gradient's variance, else 0
 *     SCALED      1 with a preconditioner of the step size, else 0
 *     PULLED      1 where the prior is one of job.py's LAWS but the plain one, else 0; which, the table says
 *     CENTRED     1 with a centre of the prior, else 0
 *     UNITS       1 with a unit of it for every element, else 0
 *     COUNT       number of tensors, at most THREADS
 *     TENSORS(X)  X(0) X(1) ... X(COUNT - 1)
 *     STREAM      1 for the kernels that give the stream of noise by itself, else 0
 *
 * It is compiled with --fmad=false: no multiplication is merged with an addition but where fmaf says so. A step
 * waits for memory and not for arithmetic, so that this should cost little; every result is what the source says.
 *
 * Arrays are arguments of their own, `weight0, grad0, momentum0, weight1, ...`, because that is how mx.rtc learns what
 * a launch reads and writes. Numbers come in one table of doubles, which hold 32-bit words exactly: as arguments they
 * would take more than the 4 KB there are. The table is a head, COUNT rows, and at last where the chunks end.
 *
 * A block carries out a chunk of one tensor, and every sum is formed in an order that depends on the sizes of the
 * tensors alone. So a step has the same bits on every run, every GPU and a host. Only exp, expm1 and pow are the
 * device's: with 'aboba' and 'badodab', a thermostat by element, a prior of law 'mixture' or 'power', and all that is
 * double, may differ by some ulps between devices.
 * Chunks are numbered through the launches of a step: each has its own place for what it adds to a sum.
 */

#define NONE 0
#define FRICTION 1
#define PER_TENSOR 2
#define PER_ELEMENT 3
#define SHARED 4

#define EULER 0
#define ABOBA 1
#define BADODAB 2
#define KICK 3
#define FLUCTUATE 4

#ifndef REAL
#define REAL float
#define KIND SHARED
#define FORM EULER
#define ESTIMATE 0
#define SCALED 0
#define PULLED 0
#define CENTRED 0
#define UNITS 0
#define COUNT 1
#define TENSORS(X) X(0)
#define STREAM 1
#endif

/* LAWS of job.py. */
#define GAUSSIAN 1
#define LAPLACE 2
#define STUDENT 3
#define MIXTURE 4
#define POWER 5
#define GIVEN 6

#define THREADS 256     /* of a block; a power of two */
#define CHUNK 4096      /* elements of a chunk: a multiple of 4 * THREADS */

#define MOMENTUM (KIND != NONE)
#define SUM (KIND == PER_TENSOR || KIND == SHARED)
#define DESCENT (FORM != FLUCTUATE)                 /* the gradient is used */
#define PART (FORM == KICK || FORM == FLUCTUATE)    /* half a step: a thermostat moves by half */

typedef REAL Real;

enum { SEED_LOW, SEED_HIGH, RESCALE, CLIP, SETTLE, SETTLE_RATIO, SETTLE_GAIN, SETTLE_SHIFT, HALF_GAIN, HEAD };
enum { FIRST, SIZE, ORDINAL, STEP_LOW, STEP_HIGH, DRIFT, PRIOR, NOISE, COLD, RATIO, ALPHA_RATIO, FRICTION_OF, HEAT,
       INVERSE_MASS, SHARE, RATE, LAW, INVERSE, LAW_FIRST, LAW_SECOND, ROW };

/* ---------------------------------------------------------------- the noise */

/* Philox4x32-10: out is a keyed bijection of the counter. */
static inline __device__ void philox(const unsigned key[2], unsigned c0, const unsigned counter[3], unsigned out[4])
{
    unsigned k0 = key[0], k1 = key[1], c1 = counter[0], c2 = counter[1], c3 = counter[2];
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned long long p0 = (unsigned long long)c0 * 0xD2511F53u, p1 = (unsigned long long)c2 * 0xCD9E8D57u;
        c0 = (unsigned)(p1 >> 32) ^ c1 ^ k0;
        c1 = (unsigned)p1;
        c2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
        c3 = (unsigned)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Logarithm, sine and cosine are written out, from fmaf and operations that are not contracted: the same bits on every
 * GPU, by every compiler, and on a host. Those of the device's library are allowed an ulp or two. The series are those
 * of kernel_body.h. */

union Bits {
    float number;
    int word;
};

/* sqrt(-2 ln u) for u = ((x >> 1) + 1/2) / 2^31. With u = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2):
 * ln u = e ln 2 + f - f^2/2 + f^3 P(f), ln 2 in two parts. */
static inline __device__ float radius_of(unsigned x)
{
    Bits u;
    u.number = ((float)(int)(x >> 1) + 0.5f) * 4.656612873077393e-10f;      /* 2^-31 */
    const int e = (u.word - 0x3F3504F3) >> 23;
    const float k = (float)e;
    u.word -= e * 0x800000;
    const float f = u.number - 1.0f, z = f * f;
    float p = fmaf(7.0376836292e-2f, f, -1.1514610310e-1f);
    p = fmaf(p, f, 1.1676998740e-1f);
    p = fmaf(p, f, -1.2420140846e-1f);
    p = fmaf(p, f, 1.4249322787e-1f);
    p = fmaf(p, f, -1.6668057665e-1f);
    p = fmaf(p, f, 2.0000714765e-1f);
    p = fmaf(p, f, -2.4999993993e-1f);
    p = fmaf(p, f, 3.3333331174e-1f);
    const float y = fmaf(p * f, z, fmaf(-2.12194440e-4f, k, -0.5f * z));
    return sqrtf(-2.0f * fmaf(0.693359375f, k, f + y));
}

/* Cosine and sine of the angle 2 pi x / 2^32. The nearest quarter turn is split off the integer, exactly; the rest lies
 * in [-pi/4, pi/4). */
static inline __device__ void direction_of(unsigned x, float *cosine, float *sine)
{
    const unsigned turned = x + 0x20000000u;        /* the two top bits: the quarter */
    const float a = (float)((int)(turned & 0x3FFFFFFFu) - 0x20000000) * 1.46291807926715968e-9f;    /* 2 pi / 2^32 */
    const float z = a * a;
    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = fmaf(s * z, a, a);
    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = fmaf(c * z, z, fmaf(-0.5f, z, 1.0f));
    const bool swap = (turned & 0x40000000u) != 0;
    const float along = swap ? s : c, across = swap ? c : s;
    *cosine = ((turned + 0x40000000u) & 0x80000000u) ? -along : along;
    *sine = (turned & 0x80000000u) ? -across : across;
}

/* sqrt(-2 ln u) (cos th, sin th), u = ((x0 >> 1) + 1/2) / 2^31, th = pi int32(x1) / 2^31. */
static inline __device__ void box_muller(unsigned x0, unsigned x1, float *n0, float *n1)
{
    const float r = radius_of(x0);
    float c, s;
    direction_of(x1, &c, &s);
    *n0 = r * c;
    *n1 = r * s;
}

/* The four normals of a block of the stream. Block b has the elements element_of(b) + 0, 16, 32, 48. */
static inline __device__ void normals_of(const unsigned key[2], const unsigned counter[3], long long block, float out[4])
{
    unsigned x[4];
    philox(key, (unsigned)block, counter, x);
    box_muller(x[0], x[1], out, out + 1);
    box_muller(x[2], x[3], out + 2, out + 3);
}

/* Element 64 g + 16 j + k is word j of block 16 g + k. So the threads of a warp touch, for each j, two runs of 64
 * bytes (float), and with the four j every sector of memory is read and written once, whole. */
static inline __device__ long long element_of(long long block)
{
    return (block / 16) * 64 + block % 16;
}

/* ---------------------------------------------------------------- one tensor */

#define OF_REAL(name, of_float, of_double) \
    template <class X> \
    static inline __device__ X name(X x) \
    { \
        return sizeof(X) == sizeof(float) ? (X)of_float((float)x) : (X)of_double((double)x); \
    }
OF_REAL(root, sqrtf, sqrt)
OF_REAL(exponential, expf, exp)
OF_REAL(growth, expm1f, expm1)      /* exp(x) - 1 */

static inline __device__ Real power_of(Real x, Real exponent)
{
    return sizeof(Real) == sizeof(float) ? (Real)powf((float)x, (float)exponent)
                                         : (Real)pow((double)x, (double)exponent);
}

/* What alpha' makes of v and of the noise: v <- after * (decay * v + spread * n), and a kick beside n. */
struct Factors {
    Real decay, after, spread;
};

/* In double where alpha' is one number for the tensor, else in the type of the arrays. */
template <class X>
static inline __device__ Factors factors_of(X ratio, X alpha)
{
    Factors f = {1, 1, 1};
    if (FORM == EULER) {
        f.decay = (Real)(ratio * (1 - alpha));
    } else if (FORM == ABOBA) {
        const X e = exponential((X)-0.5 * alpha);
        f.after = (Real)e;
        f.decay = (Real)(ratio * e);
    } else {
        const X x = 2 * alpha;
        f.decay = (Real)exponential(-alpha);
        f.spread = (Real)root(x == 0 ? (X)1 : -growth(-x) / x);
    }
    return f;
}

struct Task {
    Real *weight, *momentum, *own_alpha, *previous, *variance;  /* own_alpha: of every element */
    const Real *grad, *scale, *alpha;                           /* alpha: of the tensor */
    const Real *centre, *unit;                                  /* of the prior */
    long long first, size;          /* chunk that is this tensor's first; elements */
    unsigned key[2], counter[3];    /* counter words 1, 2, 3; word 0 is the block */
    Real rescale, clip, drift, prior, noise, noise2, drift2, cold, rate;
    Real ratio, alpha_ratio, alpha_shift, heat, inverse_mass;
    int law;                        /* of the prior, and its numbers */
    Real inverse, strength, law_first, law_second;
    Factors factors;                /* where they are those of the tensor */
    double share, heat_exactly;
};

static inline __device__ void read_row(const double *head, const double *row, Task *t)
{
    const double noise2 = row[NOISE] * row[NOISE], left = noise2 > row[COLD] ? noise2 - row[COLD] : 0;
    t->first = (long long)row[FIRST];
    t->size = (long long)row[SIZE];
    t->key[0] = (unsigned)head[SEED_LOW];
    t->key[1] = (unsigned)head[SEED_HIGH];
    t->counter[0] = (unsigned)row[ORDINAL];
    t->counter[1] = (unsigned)row[STEP_LOW];
    t->counter[2] = (unsigned)row[STEP_HIGH];
    t->rescale = (Real)head[RESCALE];
    t->clip = (Real)head[CLIP];
    t->drift = (Real)row[DRIFT];
    t->prior = (Real)row[PRIOR];
    t->noise = (Real)(ESTIMATE || SCALED ? row[NOISE] : sqrt(left));
    t->noise2 = (Real)noise2;
    t->drift2 = (Real)(row[DRIFT] * row[DRIFT]);
    t->cold = (Real)row[COLD];
    t->ratio = (Real)row[RATIO];
    t->alpha_ratio = (Real)row[ALPHA_RATIO];
    t->alpha_shift = (Real)row[FRICTION_OF];
    t->heat = (Real)row[HEAT];
    t->inverse_mass = (Real)row[INVERSE_MASS];
    t->rate = (Real)row[RATE];
    t->law = (int)row[LAW];
    t->inverse = (Real)row[INVERSE];
    t->strength = (Real)(t->law == GIVEN ? row[PRIOR] : row[PRIOR] * row[INVERSE]);
    t->law_first = (Real)row[LAW_FIRST];
    t->law_second = (Real)row[LAW_SECOND];
    t->share = row[SHARE];
    t->heat_exactly = row[HEAT];
}

#if KIND == SHARED
/* The shared alpha that is in force, once the account of the last step is settled. */
static inline __device__ Real settled(const double *head, const Real *alpha, const Real *excess)
{
    if (head[SETTLE] == 0)
        return *alpha;
    return (Real)(head[SETTLE_RATIO] * ((double)*alpha + head[SETTLE_GAIN] * (double)*excess) + head[SETTLE_SHIFT]);
}
#endif

struct Element {
    Real grad, scale, w, v, alpha, previous, variance, centre, unit;
    float normal;
};

/* The prior's part of G. The law is the same for all threads of a block. */
static inline __device__ Real pull_of(const Task *t, const Element *e)
{
    const Real unit = UNITS ? e->unit : (Real)1, first = t->law_first, second = t->law_second;
    if (!PULLED)
        return t->prior * e->w;
    if (t->law == GIVEN)
        return t->strength * unit;
    const Real x = t->inverse * ((CENTRED ? e->w - e->centre : e->w) * unit);
    Real h = x;
    if (t->law == LAPLACE)
        h = 1;
    else if (t->law == STUDENT)
        h = (first + 1) * x / (first + x * x);
    else if (t->law == MIXTURE)
        h = x * (1 + second / (1 + exponential(first + (Real)0.5 * second * (x * x))));
    else if (t->law == POWER)
        h = first * power_of(x < 0 ? -x : x, first - 1);
    if (t->law == LAPLACE || t->law == POWER)
        h = x > 0 ? h : x < 0 ? -h : x;
    return t->strength * h * unit;
}

/* drift m G, once the estimate of the gradient's variance is brought up to date. */
static inline __device__ Real kick_of(const Task *t, Element *e)
{
    Real g = t->rescale * e->grad;
    g = g < -t->clip ? -t->clip : g;
    g = g > t->clip ? t->clip : g;
    if (ESTIMATE) {
        const Real d = g - e->previous;
        if (t->rate != 0)
            e->variance += t->rate * ((Real)0.5 * d * d - e->variance);
        e->previous = g;
    }
    const Real kick = t->drift * (g + pull_of(t, e));
    return SCALED ? e->scale * kick : kick;
}

static inline __device__ Real noise_of(const Task *t, const Element *e)
{
    Real s = t->noise;
    if (ESTIMATE || SCALED) {
        const Real left = ESTIMATE ? t->noise2 - t->drift2 * e->variance : e->scale * t->noise2 - t->cold;
        s = root(left > 0 ? left : (Real)0);
    }
    return s * (Real)e->normal;
}

/* The thermostat of an element, after a part of the step. */
static inline __device__ Real regulated(const Task *t, Real alpha, Real part, Real v)
{
    return alpha + part * t->inverse_mass * (v * v - t->heat);
}

/* One element; what does not belong to this kind and form of step is left alone. */
static inline __device__ void update(const Task *t, Element *e)
{
    const Real kick = DESCENT ? kick_of(t, e) : (Real)0, n = FORM == KICK ? (Real)0 : noise_of(t, e);
    if (KIND == NONE) {
        e->w += n - kick;
        return;
    }
    /* A product as the last operation, with a shift and without: so that rounding is the same as ever without. */
    const bool shifted = t->alpha_shift != 0;
    Real alpha = (shifted ? (Real)1 : t->alpha_ratio)
                 * (shifted ? t->alpha_ratio * e->alpha + t->alpha_shift : e->alpha);
    const bool split = FORM != EULER && FORM != ABOBA;
    if (split && DESCENT) {
        e->v = t->ratio * e->v - kick;
        e->w += (Real)0.5 * e->v;
        alpha = regulated(t, alpha, (Real)0.5, e->v);
    }
    if (FORM != KICK) {
        const Factors f = KIND == PER_ELEMENT ? factors_of<Real>(t->ratio, alpha) : t->factors;
        if (split)
            e->v = f.decay * e->v + f.spread * n;
        else
            e->v = f.decay * e->v + (n - kick);
        if (FORM == ABOBA)
            e->v *= f.after;
        e->w += split ? (Real)0.5 * e->v : e->v;
        alpha = regulated(t, alpha, split ? (Real)0.5 : (Real)1, e->v);
    }
    e->alpha = alpha;
}

/* The four elements of a block of the stream; returns the sum of the new v^2. All of it is read before anything is
 * written: the loads are under way at once, and the noise is made while they are. */
static inline __device__ double four(const Task *t, long long block)
{
    const long long at = element_of(block);
    Element e[4];
    Real sum = 0;
    float normal[4] = {0, 0, 0, 0};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const long long i = at + 16 * j;
        const bool inside = i < t->size;
        e[j].grad = inside && DESCENT ? t->grad[i] : (Real)0;
        e[j].scale = inside && SCALED ? t->scale[i] : (Real)0;
        e[j].centre = inside && CENTRED && DESCENT ? t->centre[i] : (Real)0;
        e[j].unit = inside && UNITS && DESCENT ? t->unit[i] : (Real)0;
        e[j].w = inside ? t->weight[i] : (Real)0;
        e[j].v = inside && MOMENTUM ? t->momentum[i] : (Real)0;
        e[j].alpha = inside && KIND == PER_ELEMENT ? t->own_alpha[i] : (Real)0;
        e[j].previous = inside && ESTIMATE && DESCENT ? t->previous[i] : (Real)0;
        e[j].variance = inside && ESTIMATE ? t->variance[i] : (Real)0;
    }
    if (FORM != KICK && t->noise != 0)
        normals_of(t->key, t->counter, block, normal);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const long long i = at + 16 * j;
        if (i >= t->size)
            continue;
        e[j].normal = normal[j];
        update(t, e + j);
        t->weight[i] = e[j].w;
        if (MOMENTUM)
            t->momentum[i] = e[j].v;
        if (KIND == PER_ELEMENT)
            t->own_alpha[i] = e[j].alpha;
        if (ESTIMATE && DESCENT) {
            t->previous[i] = e[j].previous;
            if (t->rate != 0)
                t->variance[i] = e[j].variance;
        }
        sum += e[j].v * e[j].v;     /* four of a kind; from here on in double */
    }
    return sum;
}

/* ---------------------------------------------------------------- the step of all tensors */

#if SUM
/* Sum over the threads of a block, the same for each of them. */
static inline __device__ double block_sum(double x)
{
    __shared__ double sums[THREADS];
    sums[threadIdx.x] = x;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    __syncthreads();
    return sums[0];
}
#endif

/* The arguments of tensor i, and how they get into a task. */
#if DESCENT
#define GRAD_ARGUMENT(i) , const Real *grad##i
#define TAKE_GRAD(i) task.grad = grad##i;
#else
#define GRAD_ARGUMENT(i)
#define TAKE_GRAD(i)
#endif
#if MOMENTUM
#define MOMENTUM_ARGUMENT(i) , Real *momentum##i
#define TAKE_MOMENTUM(i) task.momentum = momentum##i;
#else
#define MOMENTUM_ARGUMENT(i)
#define TAKE_MOMENTUM(i)
#endif
#if KIND == PER_TENSOR
#define ALPHA_ARGUMENT(i) , const Real *alpha##i
#define TAKE_ALPHA(i) task.alpha = alpha##i;
#elif KIND == PER_ELEMENT
#define ALPHA_ARGUMENT(i) , Real *alpha##i
#define TAKE_ALPHA(i) task.own_alpha = alpha##i;
#else
#define ALPHA_ARGUMENT(i)
#define TAKE_ALPHA(i)
#endif
#if ESTIMATE && DESCENT
#define ESTIMATE_ARGUMENTS(i) , Real *previous##i, Real *variance##i
#define TAKE_ESTIMATE(i) task.previous = previous##i; task.variance = variance##i;
#elif ESTIMATE
#define ESTIMATE_ARGUMENTS(i) , const Real *variance##i
#define TAKE_ESTIMATE(i) task.variance = (Real *)variance##i;
#else
#define ESTIMATE_ARGUMENTS(i)
#define TAKE_ESTIMATE(i)
#endif
#if SCALED
#define SCALE_ARGUMENT(i) , const Real *scale##i
#define TAKE_SCALE(i) task.scale = scale##i;
#else
#define SCALE_ARGUMENT(i)
#define TAKE_SCALE(i)
#endif
#if CENTRED && DESCENT
#define CENTRE_ARGUMENT(i) , const Real *centre##i
#define TAKE_CENTRE(i) task.centre = centre##i;
#else
#define CENTRE_ARGUMENT(i)
#define TAKE_CENTRE(i)
#endif
#if UNITS && DESCENT
#define UNIT_ARGUMENT(i) , const Real *unit##i
#define TAKE_UNIT(i) task.unit = unit##i;
#else
#define UNIT_ARGUMENT(i)
#define TAKE_UNIT(i)
#endif
#define ARGUMENTS(i) \
    , Real *weight##i GRAD_ARGUMENT(i) MOMENTUM_ARGUMENT(i) ALPHA_ARGUMENT(i) ESTIMATE_ARGUMENTS(i) SCALE_ARGUMENT(i) \
    CENTRE_ARGUMENT(i) UNIT_ARGUMENT(i)
#define TAKE(i) \
    case i: \
        task.weight = weight##i; \
        TAKE_GRAD(i) TAKE_MOMENTUM(i) TAKE_ALPHA(i) TAKE_ESTIMATE(i) TAKE_SCALE(i) \
        TAKE_CENTRE(i) TAKE_UNIT(i) \
        break;

/* alpha' of the tensor that a row is of. A kick does without it, and brings it up to date for the fluctuation. */
#if KIND == SHARED && FORM == FLUCTUATE
#define ALPHA_IN_FORCE(row) (double)*shared_alpha
#elif KIND == SHARED
#define ALPHA_IN_FORCE(row) (double)settled(table, shared_alpha, shared_excess)
#elif KIND == PER_TENSOR && FORM == FLUCTUATE
#define ALPHA_IN_FORCE(row) (double)*task.alpha
#elif KIND == PER_TENSOR
#define ALPHA_IN_FORCE(row) (row)[ALPHA_RATIO] * (double)*task.alpha + (row)[FRICTION_OF]
#else
#define ALPHA_IN_FORCE(row) (row)[FRICTION_OF]
#endif

/* One block a chunk. Where sums are wanted it leaves its share of them in `partials`: the sum of v^2 of the chunk, or
 * what the chunk adds to the shared account, share * (sum(v^2) - elements * heat). */
extern "C" __global__ void __launch_bounds__(THREADS)
step(const double *table
#if SUM
     , double *partials
#endif
#if KIND == SHARED && FORM == FLUCTUATE
     , const Real *shared_alpha
#elif KIND == SHARED && FORM != KICK
     , const Real *shared_alpha, const Real *shared_excess
#endif
     TENSORS(ARGUMENTS))
{
    __shared__ Task task;
    const double *mine = table + HEAD + ROW * (int)threadIdx.x;
    const long long chunk = (long long)table[HEAD + FIRST] + blockIdx.x;
    /* The thread with the number of the tensor that this chunk is of prepares it for all. */
    if (threadIdx.x < COUNT && mine[FIRST] <= chunk && chunk < mine[ROW + FIRST]) {
        switch (threadIdx.x) {
            TENSORS(TAKE)
        }
        read_row(table, mine, &task);
#if FORM != KICK
        task.factors = factors_of<double>(mine[RATIO], ALPHA_IN_FORCE(mine));
#endif
    }
    __syncthreads();
    const Task own = task;      /* in registers: what lies in memory would be read anew after every store */
    const long long begin = (chunk - own.first) * CHUNK;
    double sum = 0;
#pragma unroll 1
    for (int b = (int)threadIdx.x; b < CHUNK / 4; b += THREADS)
        if (element_of(begin / 4 + b) < own.size)
            sum += four(&own, begin / 4 + b);
#if SUM
    sum = block_sum(sum);
    if (KIND == SHARED) {
        const long long left = task.size - begin;
        sum = task.share * (sum - (left < CHUNK ? left : CHUNK) * task.heat_exactly);
    }
    if (threadIdx.x == 0)
        partials[chunk] = sum;
#endif
}

/* ---------------------------------------------------------------- the thermostats */

#if SUM
/* Partials first .. end - 1, added in an order that depends on their number alone. */
static inline __device__ double added(const double *partials, long long first, long long end)
{
    double sum = 0;
    for (long long c = first + threadIdx.x; c < end; c += THREADS)
        sum += partials[c];
    return block_sum(sum);
}
#endif

#if KIND == SHARED
/* One block, after all launches of a step, or of a part of it: settles the account of the last step, as every block of
 * this one has for itself, and enters this one, or moves alpha at once. The table is that of the last launch. */
extern "C" __global__ void __launch_bounds__(THREADS)
finish(const double *table, const double *partials, Real *shared_alpha, Real *shared_excess)
{
    const double sum = added(partials, 0, (long long)table[HEAD + ROW * COUNT]);
    if (threadIdx.x == 0) {
        double alpha = (double)*shared_alpha, excess = (double)*shared_excess;
        if (DESCENT && table[SETTLE] != 0) {
            alpha = (double)settled(table, shared_alpha, shared_excess);
            excess = 0;
        }
        *shared_alpha = (Real)(PART ? alpha + table[HALF_GAIN] * sum : alpha);
        *shared_excess = (Real)(PART ? excess : excess + sum);
    }
}
#elif KIND == PER_TENSOR
#define ALPHA_WRITTEN(i) , Real *alpha##i
#define CHOOSE_ALPHA(i) case i: alpha = alpha##i; break;

/* One block a tensor: alpha <- alpha' + part * inverse_mass * (mean(v^2) - heat). */
extern "C" __global__ void __launch_bounds__(THREADS)
finish(const double *table, const double *partials TENSORS(ALPHA_WRITTEN))
{
    const double *row = table + HEAD + ROW * (int)blockIdx.x;
    const double sum = added(partials, (long long)row[FIRST], (long long)row[ROW + FIRST]);
    if (threadIdx.x == 0) {
        Real *alpha = 0;
        switch (blockIdx.x) {
            TENSORS(CHOOSE_ALPHA)
        }
        const double before = (DESCENT ? row[ALPHA_RATIO] : 1.0) * (double)*alpha
                              + (DESCENT ? row[FRICTION_OF] : 0.0);     /* both count once */
        *alpha = (Real)(before + (PART ? 0.5 : 1.0) * row[INVERSE_MASS] * (sum / row[SIZE] - row[HEAT]));
    }
}
#endif

/* ---------------------------------------------------------------- the stream by itself */

#if STREAM
/* Groups of 64 elements of the stream of one parameter from first_group on, a thread a block of the stream. mx.rtc knows
 * no unsigned types: words come as signed ones. Counter word 3 holds the stream above the high bits of the step. */
#define STREAM_OF int groups, int first_group, int seed_low, int seed_high, int parameter, int step_low, int word3

extern "C" __global__ void words(int *out, STREAM_OF)
{
    const unsigned key[2] = {(unsigned)seed_low, (unsigned)seed_high};
    const unsigned counter[3] = {(unsigned)parameter, (unsigned)step_low, (unsigned)word3};
    const long long b = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    unsigned x[4];
    if (b >= 16LL * groups)
        return;
    philox(key, (unsigned)(16LL * first_group + b), counter, x);
    for (int j = 0; j < 4; j++)
        out[element_of(b) + 16 * j] = (int)x[j];
}

extern "C" __global__ void normals(float *out, STREAM_OF)
{
    const unsigned key[2] = {(unsigned)seed_low, (unsigned)seed_high};
    const unsigned counter[3] = {(unsigned)parameter, (unsigned)step_low, (unsigned)word3};
    const long long b = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    float n[4];
    if (b >= 16LL * groups)
        return;
    normals_of(key, counter, 16LL * first_group + b, n);
    for (int j = 0; j < 4; j++)
        out[element_of(b) + 16 * j] = n[j];
}
#endif
