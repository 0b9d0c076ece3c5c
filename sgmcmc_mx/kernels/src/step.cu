/* The fused step on a GPU: new momentum, new weight, fresh normal noise and the sum of squares in one pass, in place,
 * for a list of tensors. See noise.py for the stream and job.py for the equations; the names are theirs.
 *
 * The file stands alone: no includes, C++98, so that NVRTC (mx.rtc, CuPy's RawModule) and nvcc compile it. Which step
 * it is, and of how many tensors, is said by definitions in front of it (cuda_source.py writes them):
 *
 *     REAL        float or double, the type of the arrays
 *     KIND        NONE, FRICTION, PER_TENSOR, PER_ELEMENT, SHARED: without momentum, and whose thermostat it is
 *     ESTIMATE    1 with a running estimate of the gradient's variance, else 0
 *     COUNT       number of tensors, at most THREADS
 *     TENSORS(X)  X(0) X(1) ... X(COUNT - 1)
 *
 * Arrays are arguments of their own, `weight0, grad0, momentum0, weight1, ...`, because that is how mx.rtc learns what
 * a launch reads and writes. Numbers come in one table of doubles, which hold 32-bit words exactly: as arguments they
 * would take more than the 4 KB there are. The table is a head, COUNT rows, and at last the number of chunks.
 *
 * A block carries out a chunk of one tensor, and every sum is formed in an order that depends on the sizes of the
 * tensors alone: the same bits on every run and every GPU of one compiler.
 */

#define NONE 0
#define FRICTION 1
#define PER_TENSOR 2
#define PER_ELEMENT 3
#define SHARED 4

#ifndef REAL
#define REAL float
#define KIND SHARED
#define ESTIMATE 0
#define COUNT 1
#define TENSORS(X) X(0)
#endif

#define THREADS 256     /* of a block; a power of two */
#define CHUNK 4096      /* elements of a chunk: a multiple of 4 * THREADS */

#define MOMENTUM (KIND != NONE)
#define SUM (KIND == PER_TENSOR || KIND == SHARED)

typedef REAL Real;

enum { SEED_LOW, SEED_HIGH, RESCALE, CLIP, SETTLE, SETTLE_RATIO, SETTLE_GAIN, HEAD };
enum { FIRST, SIZE, ORDINAL, STEP_LOW, STEP_HIGH, DRIFT, PRIOR, NOISE, RATIO, ALPHA_RATIO, FRICTION_OF, HEAT,
       INVERSE_MASS, SHARE, RATE, ROW };

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

/* sqrt(-2 ln u) (cos th, sin th), u = ((x0 >> 1) + 1/2) / 2^31, th = pi int32(x1) / 2^31. The angle is taken in units
 * of pi: nothing is rounded between the integer's conversion and the sine. */
static inline __device__ void box_muller(unsigned x0, unsigned x1, float *n0, float *n1)
{
    const float u = ((float)(int)(x0 >> 1) + 0.5f) * 4.656612873077393e-10f;    /* 2^-31 */
    const float r = sqrtf(-2.0f * logf(u));
    float c, s;
    sincospif((float)(int)x1 * 4.656612873077393e-10f, &s, &c);
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

static inline __device__ Real root(Real x)
{
    return sizeof(Real) == sizeof(float) ? (Real)sqrtf((float)x) : (Real)sqrt((double)x);
}

struct Task {
    Real *weight, *momentum, *own_alpha, *previous, *variance;  /* own_alpha: of every element */
    const Real *grad, *alpha;                                   /* alpha: of the tensor */
    long long first, size;          /* chunk of the launch that is this tensor's first; elements */
    unsigned key[2], counter[3];    /* counter words 1, 2, 3; word 0 is the block */
    Real rescale, clip, drift, prior, noise, noise2, drift2, ratio, decay, alpha_ratio, heat, inverse_mass, rate;
    double share, heat_exactly;
};

static inline __device__ void read_row(const double *head, const double *row, Task *t)
{
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
    t->noise = (Real)row[NOISE];
    t->noise2 = (Real)(row[NOISE] * row[NOISE]);
    t->drift2 = (Real)(row[DRIFT] * row[DRIFT]);
    t->ratio = (Real)row[RATIO];
    t->alpha_ratio = (Real)row[ALPHA_RATIO];
    t->heat = (Real)row[HEAT];
    t->inverse_mass = (Real)row[INVERSE_MASS];
    t->rate = (Real)row[RATE];
    t->share = row[SHARE];
    t->heat_exactly = row[HEAT];
}

#if KIND == SHARED
/* The shared alpha that is in force, once the account of the last step is settled. */
static inline __device__ Real settled(const double *head, const Real *alpha, const Real *excess)
{
    if (head[SETTLE] == 0)
        return *alpha;
    return (Real)(head[SETTLE_RATIO] * ((double)*alpha + head[SETTLE_GAIN] * (double)*excess));
}
#endif

/* One element; what does not belong to this kind of step is left alone. */
static inline __device__ void update(const Task *t, Real grad, float normal, Real *w, Real *v, Real *alpha, Real *previous,
                              Real *variance)
{
    Real g = t->rescale * grad, s = t->noise;
    g = g < -t->clip ? -t->clip : g;
    g = g > t->clip ? t->clip : g;
    if (ESTIMATE) {
        const Real d = g - *previous;
        if (t->rate != 0)
            *variance += t->rate * ((Real)0.5 * d * d - *variance);
        *previous = g;
        const Real left = t->noise2 - t->drift2 * *variance;
        s = root(left > 0 ? left : (Real)0);
    }
    const Real step = s * (Real)normal - t->drift * (g + t->prior * *w);
    if (KIND == NONE) {
        *w += step;
        return;
    }
    const Real a = t->alpha_ratio * *alpha;
    const Real decay = KIND == PER_ELEMENT ? t->ratio * (1 - a) : t->decay;
    *v = decay * *v + step;
    *w += *v;
    if (KIND == PER_ELEMENT)
        *alpha = a + t->inverse_mass * (*v * *v - t->heat);
}

/* The four elements of a block of the stream; returns the sum of the new v^2. All of it is read before anything is
 * written: the loads are under way at once, and the noise is made while they are. */
static inline __device__ double four(const Task *t, long long block)
{
    const long long at = element_of(block);
    Real grad[4], w[4], v[4], alpha[4], previous[4], variance[4], sum = 0;
    float normal[4] = {0, 0, 0, 0};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const long long i = at + 16 * j;
        const bool inside = i < t->size;
        grad[j] = inside ? t->grad[i] : (Real)0;
        w[j] = inside ? t->weight[i] : (Real)0;
        v[j] = inside && MOMENTUM ? t->momentum[i] : (Real)0;
        alpha[j] = inside && KIND == PER_ELEMENT ? t->own_alpha[i] : (Real)0;
        previous[j] = inside && ESTIMATE ? t->previous[i] : (Real)0;
        variance[j] = inside && ESTIMATE ? t->variance[i] : (Real)0;
    }
    if (t->noise != 0)
        normals_of(t->key, t->counter, block, normal);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const long long i = at + 16 * j;
        if (i >= t->size)
            continue;
        update(t, grad[j], normal[j], w + j, v + j, alpha + j, previous + j, variance + j);
        t->weight[i] = w[j];
        if (MOMENTUM)
            t->momentum[i] = v[j];
        if (KIND == PER_ELEMENT)
            t->own_alpha[i] = alpha[j];
        if (ESTIMATE) {
            t->previous[i] = previous[j];
            if (t->rate != 0)
                t->variance[i] = variance[j];
        }
        sum += v[j] * v[j];     /* four of a kind; from here on in double */
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
#if ESTIMATE
#define ESTIMATE_ARGUMENTS(i) , Real *previous##i, Real *variance##i
#define TAKE_ESTIMATE(i) task.previous = previous##i; task.variance = variance##i;
#else
#define ESTIMATE_ARGUMENTS(i)
#define TAKE_ESTIMATE(i)
#endif
#define ARGUMENTS(i) , Real *weight##i, const Real *grad##i MOMENTUM_ARGUMENT(i) ALPHA_ARGUMENT(i) ESTIMATE_ARGUMENTS(i)
#define TAKE(i) \
    case i: \
        task.weight = weight##i; \
        task.grad = grad##i; \
        TAKE_MOMENTUM(i) TAKE_ALPHA(i) TAKE_ESTIMATE(i) \
        break;

/* One block a chunk. Where sums are wanted it leaves its share of them in `partials`: the sum of v^2 of the chunk, or
 * what the chunk adds to the shared account, share * (sum(v^2) - elements * heat). */
extern "C" __global__ void __launch_bounds__(THREADS)
step(const double *table
#if SUM
     , double *partials
#endif
#if KIND == SHARED
     , const Real *shared_alpha, const Real *shared_excess
#endif
     TENSORS(ARGUMENTS))
{
    __shared__ Task task;
    const double *mine = table + HEAD + ROW * (int)threadIdx.x;
    /* The thread with the number of the tensor that this chunk is of prepares it for all. */
    if (threadIdx.x < COUNT && mine[FIRST] <= blockIdx.x && blockIdx.x < mine[ROW + FIRST]) {
        switch (threadIdx.x) {
            TENSORS(TAKE)
        }
        read_row(table, mine, &task);
#if KIND == SHARED
        task.decay = (Real)(mine[RATIO] * (1 - (double)settled(table, shared_alpha, shared_excess)));
#elif KIND == PER_TENSOR
        task.decay = (Real)(mine[RATIO] * (1 - mine[ALPHA_RATIO] * (double)*task.alpha));
#else
        task.decay = (Real)(mine[RATIO] * (1 - mine[FRICTION_OF]));
#endif
    }
    __syncthreads();
    const Task own = task;      /* in registers: what lies in memory would be read anew after every store */
    const long long begin = (blockIdx.x - own.first) * CHUNK;
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
        partials[blockIdx.x] = sum;
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
/* One block: settles the account of the last step, as every block of this one has for itself, and enters this one. */
extern "C" __global__ void __launch_bounds__(THREADS)
finish(const double *table, const double *partials, Real *shared_alpha, Real *shared_excess)
{
    const double sum = added(partials, 0, (long long)table[HEAD + ROW * COUNT]);
    if (threadIdx.x == 0) {
        const double before = table[SETTLE] == 0 ? (double)*shared_excess : 0.0;
        *shared_alpha = settled(table, shared_alpha, shared_excess);
        *shared_excess = (Real)(before + sum);
    }
}
#elif KIND == PER_TENSOR
#define ALPHA_WRITTEN(i) , Real *alpha##i
#define CHOOSE_ALPHA(i) case i: alpha = alpha##i; break;

/* One block a tensor: alpha <- alpha_ratio alpha + inverse_mass (mean(v^2) - heat). */
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
        *alpha = (Real)(row[ALPHA_RATIO] * (double)*alpha + row[INVERSE_MASS] * (sum / row[SIZE] - row[HEAT]));
    }
}
#endif

/* ---------------------------------------------------------------- the stream by itself */

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
