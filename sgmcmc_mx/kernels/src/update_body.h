/* Included by kernel_body.h for each type of weight; the equations are those of job.py. */

/* (1 - exp(-x)) / x, and exp(-x) into e. The series of an eighth of x, doubled three times: phi(2 y) = phi(y) (1 +
 * exp(-y)) / 2. Beyond |x| = 8, where no chain is sound, x counts as 8. */
static inline __attribute__((always_inline)) REAL TYPED(phi)(REAL x, REAL *e)
{
    REAL y = (REAL)-0.125 * (x > 8 ? 8 : x < -8 ? -8 : x), p = 1;
    for (int n = SERIES; n > 0; n--)
        p = 1 + p * y * ((REAL)1 / (n + 1));
    REAL exponential = 1 + y * p;
    for (int twice = 0; twice < 3; twice++) {
        p *= (REAL)0.5 * (1 + exponential);
        y += y;
        exponential = 1 + y * p;    /* and not its square, which doubles the error */
    }
    *e = exponential;
    return p;
}

/* The mean gradient, clipped; with an estimate, the running variance of it too. */
static inline __attribute__((always_inline)) REAL TYPED(gradient)(const sg_task *t, REAL grad, REAL *previous,
                                                                  REAL *variance, int extra)
{
    const REAL clip = (REAL)t->clip, rate = (REAL)t->rate;
    REAL g = (REAL)t->rescale * grad;
    g = g < -clip ? -clip : g;
    g = g > clip ? clip : g;
    if (extra == SG_ESTIMATE) {
        REAL d = g - *previous;     /* without a branch for rate = 0, which would cost the vectors */
        *variance += rate * ((REAL)0.5 * d * d - *variance);
        *previous = g;
    }
    return g;
}

/* One block of a tensor, with its normals, and what the prior pulls by where that is not `prior w`. The last four
 * arguments are constants at every call: a loop of its own for each kind of step, without branches. */
static inline __attribute__((always_inline)) void TYPED(update)(const sg_task *t, int64_t at, int64_t count,
                                                                const REAL *restrict grad, const float *normal,
                                                                const REAL *pull, int kind, int extra, int form,
                                                                int pulled)
{
    REAL *restrict w = (REAL *)t->weight + at, *restrict v = (REAL *)t->momentum + at;
    REAL *restrict alpha = (REAL *)t->alpha + at;
    REAL *restrict previous = (REAL *)t->previous + at, *restrict variance = (REAL *)t->variance + at;
    const REAL *restrict scale = (const REAL *)t->scale + at;
    const REAL drift = (REAL)t->drift, prior = (REAL)t->prior, noise2 = (REAL)(t->noise * t->noise);
    const REAL drift2 = (REAL)(t->drift * t->drift), cold = (REAL)t->cold;
    const REAL plain = (REAL)sqrt(t->noise * t->noise > t->cold ? t->noise * t->noise - t->cold : 0);
    const REAL decay = (REAL)t->decay, after = (REAL)t->after, spread = (REAL)t->spread;
    const REAL ratio = (REAL)t->ratio, alpha_ratio = (REAL)t->alpha_ratio;
    const REAL heat = (REAL)t->heat, inverse_mass = (REAL)t->inverse_mass;
    for (int64_t i = 0; i < count; i++) {
        REAL kick = 0, s = plain, e, f;
        if (form != SG_FLUCTUATE) {
            REAL g = TYPED(gradient)(t, grad[i], previous + i, variance + i, extra);
            kick = drift * (g + (pulled ? pull[i] : prior * w[i]));
            kick = extra == SG_SCALE ? scale[i] * kick : kick;
        }
        if (extra == SG_ESTIMATE || extra == SG_SCALE) {
            REAL left = extra == SG_SCALE ? scale[i] * noise2 - cold : noise2 - drift2 * variance[i];
            s = ROOT(left > 0 ? left : 0);
        }
        REAL n = s * (REAL)normal[i];
        if (kind == SG_NO_MOMENTUM) {
            w[i] += n - kick;
        } else if (form == SG_EULER || form == SG_ABOBA) {
            REAL a = kind == SG_ELEMENT ? alpha_ratio * alpha[i] : 0, new;
            if (form == SG_ABOBA) {
                e = after;
                if (kind == SG_ELEMENT)
                    TYPED(phi)((REAL)0.5 * a, &e);
                new = e * ((kind == SG_ELEMENT ? e * ratio : decay) * v[i] + (n - kick));
            } else {
                new = (kind == SG_ELEMENT ? ratio * (1 - a) : decay) * v[i] + (n - kick);
            }
            v[i] = new;
            w[i] += new;
            if (kind == SG_ELEMENT)
                alpha[i] = a + inverse_mass * (new * new - heat);
        } else {
            REAL new = v[i], a = 0;
            if (form != SG_FLUCTUATE) {
                new = ratio * new - kick;
                w[i] += (REAL)0.5 * new;
            }
            if (form != SG_KICK) {
                e = decay;
                f = spread;
                if (kind == SG_ELEMENT) {
                    a = alpha_ratio * alpha[i] + (REAL)0.5 * inverse_mass * (new * new - heat);
                    f = TYPED(phi)(a, &e);
                    f = (REAL)0.5 * f * (1 + e);
                    f = ROOT(f);
                }
                new = e * new + f * n;
                w[i] += (REAL)0.5 * new;
                if (kind == SG_ELEMENT)
                    alpha[i] = a + (REAL)0.5 * inverse_mass * (new * new - heat);
            }
            v[i] = new;
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

#define SG_ONE(kind, extra, form, pulled) \
    case SG_CASE(kind, extra, form, pulled): \
        TYPED(update)(t, at, m, grad, normal, pull, kind, extra, form, pulled); \
        break;
#define SG_EXTRAS(kind, form) \
    SG_ONE(kind, SG_PLAIN, form, 0) SG_ONE(kind, SG_ESTIMATE, form, 0) SG_ONE(kind, SG_SCALE, form, 0)
#define SG_ALL(kind, form) \
    SG_EXTRAS(kind, form) \
    SG_ONE(kind, SG_PLAIN, form, 1) SG_ONE(kind, SG_ESTIMATE, form, 1) SG_ONE(kind, SG_SCALE, form, 1)

static __attribute__((noinline)) void TYPED(block)(const sg_task *t, int64_t at, int64_t m, const REAL *grad,
                                                   const float *normal)
{
    sg_task moved;
    REAL pull[SG_BLOCK] __attribute__((aligned(64)));
    const int pulled = t->law != SG_LAW_PLAIN && t->form != SG_FLUCTUATE;
    if (pulled)
        TYPED(prior)(t, at, m, pull);
    if (t->kind == SG_ELEMENT && t->alpha_shift != 0) {     /* apart from update(), whose rounding it would change */
        REAL *restrict alpha = (REAL *)t->alpha + at;
        const REAL ratio = (REAL)t->alpha_ratio, shift = (REAL)t->alpha_shift;
        for (int64_t i = 0; i < m; i++)
            alpha[i] = ratio * alpha[i] + shift;
        moved = *t;
        moved.alpha_ratio = 1;
        t = &moved;
    }
    switch (SG_CASE(t->kind, t->extra, t->form, pulled)) {
    SG_ALL(SG_NO_MOMENTUM, SG_EULER)
    SG_ALL(SG_MOMENTUM, SG_EULER)
    SG_ALL(SG_MOMENTUM, SG_ABOBA)
    SG_ALL(SG_MOMENTUM, SG_BADODAB)
    SG_ALL(SG_MOMENTUM, SG_KICK)
    SG_EXTRAS(SG_MOMENTUM, SG_FLUCTUATE)
    SG_ALL(SG_ELEMENT, SG_EULER)
    SG_ALL(SG_ELEMENT, SG_ABOBA)
    SG_ALL(SG_ELEMENT, SG_BADODAB)
    }
}

static double TYPED(chunk)(const sg_task *t, int64_t first, int64_t count)
{
    float normal[SG_BLOCK] __attribute__((aligned(64)));
    REAL wide[SG_BLOCK] __attribute__((aligned(64)));
    double acc[16] = {0}, sum = 0;
    const int still = t->noise == 0 || t->form == SG_KICK;
    if (still)
        memset(normal, 0, sizeof normal);
    for (int64_t at = first, end = first + count; at < end; at += SG_BLOCK) {
        int64_t m = end - at < SG_BLOCK ? end - at : SG_BLOCK;
        const REAL *grad = (const REAL *)t->grad + at;
        if (!still)
            ISA(normals)(t->key, t->counter, at / 64, (m + 63) / 64, normal);
        if (t->half_grad) {
            for (int64_t i = 0; i < m; i++)
                wide[i] = (REAL)sg_widened(((const uint16_t *)t->grad)[at + i]);
            grad = wide;
        }
        TYPED(block)(t, at, m, grad, normal);
        if (t->half && t->form != SG_KICK)
            for (int64_t i = 0; i < m; i++)
                ((uint16_t *)t->half)[at + i] = sg_narrowed((float)((const REAL *)t->weight)[at + i]);
        if (t->sum)
            TYPED(squares)((const REAL *)t->momentum + at, m, acc);
    }
    for (int k = 0; k < 16; k++)
        sum += acc[k];
    return sum;
}

#undef SG_ALL
#undef SG_EXTRAS
#undef SG_ONE
#undef SERIES
#undef WORD
#undef MANTISSA
#undef REAL
#undef ROOT
#undef TYPED
