/* Included by kernel_body.h for each type of weight; the equations are those of job.py. */

/* One block of a tensor, with its normals. The last two arguments are constants at every call: a loop of its own
 * for each kind of step, without branches. */
static inline __attribute__((always_inline)) void TYPED(update)(const sg_task *t, int64_t at, int64_t count,
                                                                const float *normal, int momentum, int estimate)
{
    REAL *restrict w = (REAL *)t->weight + at, *restrict v = (REAL *)t->momentum + at;
    REAL *restrict alpha = (REAL *)t->alpha + at;
    REAL *restrict previous = (REAL *)t->previous + at, *restrict variance = (REAL *)t->variance + at;
    const REAL *restrict grad = (const REAL *)t->grad + at;
    const REAL rescale = (REAL)t->rescale, clip = (REAL)t->clip, drift = (REAL)t->drift, prior = (REAL)t->prior;
    const REAL noise = (REAL)t->noise, noise2 = (REAL)(t->noise * t->noise), drift2 = (REAL)(t->drift * t->drift);
    const REAL decay = (REAL)t->decay, ratio = (REAL)t->ratio, alpha_ratio = (REAL)t->alpha_ratio;
    const REAL heat = (REAL)t->heat, inverse_mass = (REAL)t->inverse_mass, rate = (REAL)t->rate;
    for (int64_t i = 0; i < count; i++) {
        REAL g = rescale * grad[i], s = noise;
        g = g < -clip ? -clip : g;
        g = g > clip ? clip : g;
        if (estimate) {
            REAL d = g - previous[i], var = variance[i];
            if (rate != 0) {
                var += rate * ((REAL)0.5 * d * d - var);
                variance[i] = var;
            }
            previous[i] = g;
            REAL left = noise2 - drift2 * var;
            s = ROOT(left > 0 ? left : 0);
        }
        REAL step = s * (REAL)normal[i] - drift * (g + prior * w[i]);
        if (momentum == 0) {
            w[i] += step;
        } else if (momentum == 1) {
            REAL new = decay * v[i] + step;
            v[i] = new;
            w[i] += new;
        } else {
            REAL a = alpha_ratio * alpha[i];
            REAL new = ratio * (1 - a) * v[i] + step;
            v[i] = new;
            w[i] += new;
            alpha[i] = a + inverse_mass * (new * new - heat);
        }
    }
}

/* acc[k] += v[i]^2 over i = k mod 16, in double: lanes of fixed place, whatever the instruction set's width. */
static inline __attribute__((always_inline)) void TYPED(squares)(const REAL *v, int64_t count, double *acc)
{
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (int k = 0; k < 16; k++)
            acc[k] += (double)v[i + k] * (double)v[i + k];
    for (int k = 0; i + k < count; k++)
        acc[k] += (double)v[i + k] * (double)v[i + k];
}

static double TYPED(chunk)(const sg_task *t, int64_t first, int64_t count)
{
    float normal[SG_BLOCK] __attribute__((aligned(64)));
    double acc[16] = {0}, sum = 0;
    const int kind = (t->momentum ? 1 + (t->element != 0) : 0) + (t->previous ? 3 : 0);
    if (t->noise == 0)
        memset(normal, 0, sizeof normal);
    for (int64_t at = first, end = first + count; at < end; at += SG_BLOCK) {
        int64_t m = end - at < SG_BLOCK ? end - at : SG_BLOCK;
        if (t->noise != 0)
            ISA(normals)(t->key, t->counter, at / 64, (m + 63) / 64, normal);
        switch (kind) {
        case 0: TYPED(update)(t, at, m, normal, 0, 0); break;
        case 1: TYPED(update)(t, at, m, normal, 1, 0); break;
        case 2: TYPED(update)(t, at, m, normal, 2, 0); break;
        case 3: TYPED(update)(t, at, m, normal, 0, 1); break;
        case 4: TYPED(update)(t, at, m, normal, 1, 1); break;
        default: TYPED(update)(t, at, m, normal, 2, 1);
        }
        if (t->sum)
            TYPED(squares)((const REAL *)t->momentum + at, m, acc);
    }
    for (int k = 0; k < 16; k++)
        sum += acc[k];
    return sum;
}

#undef REAL
#undef ROOT
#undef TYPED
