/* Included by kernel_body.h for each type of weight: the prior's part of the gradient. The laws are those of job.py.
 *
 * Exponential and logarithm are written out, without branches so that the loops are vectorised, and with the same bits
 * everywhere: C's own differ from library to library. A magic number added and taken off moves a whole number between
 * a REAL and its last places. */

#define BIAS ((WORD)(MANTISSA == 23 ? 127 : 1023))
#define MAGIC ((REAL)(MANTISSA == 23 ? 0x1.8p23 : 0x1.8p52))
#define LN2_HIGH ((REAL)0.693359375)
#define LN2_LOW ((REAL)-2.1219444005469058277e-4)

static inline __attribute__((always_inline)) WORD TYPED(bits)(REAL x)
{
    WORD bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline __attribute__((always_inline)) REAL TYPED(of_bits)(WORD bits)
{
    REAL x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* exp(x), held to the range of normal numbers: x = n ln 2 + r, and the series of exp in r. */
static inline __attribute__((always_inline)) REAL TYPED(exponential)(REAL x)
{
    const REAL most = (REAL)(MANTISSA == 23 ? 87 : 708);
    REAL held = x > most ? most : x < -most ? -most : x, p = 1;
    REAL n = held * (REAL)1.4426950408889634 + MAGIC;
    REAL power = TYPED(of_bits)((TYPED(bits)(n) - TYPED(bits)(MAGIC) + BIAS) << MANTISSA);
    n -= MAGIC;
    REAL r = held - n * LN2_HIGH - n * LN2_LOW;
    for (int k = MANTISSA == 23 ? 7 : 13; k > 0; k--)
        p = 1 + p * r * ((REAL)1 / k);
    return p * power;
}

/* ln x of a positive normal number: x = 2^e m, sqrt(1/2) <= m < sqrt(2), ln m = 2 artanh((m - 1) / (m + 1)). */
static inline __attribute__((always_inline)) REAL TYPED(logarithm)(REAL x)
{
    WORD e = (TYPED(bits)(x) - TYPED(bits)((REAL)0.70710678118654752)) >> MANTISSA;
    REAL m = TYPED(of_bits)(TYPED(bits)(x) - (e << MANTISSA));
    REAL k = TYPED(of_bits)(TYPED(bits)(MAGIC) + e) - MAGIC;
    REAL s = (m - 1) / (m + 1), z = s * s, p = 0;
    for (int n = MANTISSA == 23 ? 11 : 23; n > 1; n -= 2)
        p = z * (p + (REAL)1 / n);
    return k * LN2_HIGH + (2 * (s + s * p) + k * LN2_LOW);
}

/* h of a law, which is a constant at every call. */
static inline __attribute__((always_inline)) REAL TYPED(slope)(REAL x, REAL first, REAL second, int law)
{
    REAL size = x < 0 ? -x : x, h = x;
    if (law == SG_LAW_LAPLACE)
        h = 1;
    else if (law == SG_LAW_STUDENT)
        h = (first + 1) * x / (first + x * x);
    else if (law == SG_LAW_MIXTURE)
        h = x * (1 + second / (1 + TYPED(exponential)(first + (REAL)0.5 * second * (x * x))));
    else if (law == SG_LAW_POWER)
        h = first * TYPED(exponential)((first - 1) * TYPED(logarithm)(size));
    if (law == SG_LAW_LAPLACE || law == SG_LAW_POWER)
        h = x > 0 ? h : x < 0 ? -h : x;     /* 0 at 0, and not a number where x is none */
    return h;
}

/* strength h(inverse x) of a block; `from` may be `out`. */
static void TYPED(slopes)(const sg_task *t, int64_t count, REAL inverse, REAL strength, const REAL *from, REAL *out)
{
    const REAL first = (REAL)t->first, second = (REAL)t->second;
#define SG_OF(law) \
    case law: \
        for (int64_t i = 0; i < count; i++) \
            out[i] = strength * TYPED(slope)(inverse * from[i], first, second, law); \
        break;
    switch (t->law) {
        SG_OF(SG_LAW_GAUSSIAN)
        SG_OF(SG_LAW_LAPLACE)
        SG_OF(SG_LAW_STUDENT)
        SG_OF(SG_LAW_MIXTURE)
        SG_OF(SG_LAW_POWER)
    }
#undef SG_OF
}

/* The prior's part of G for a block, in passes over what lies in the first-level cache. */
static void TYPED(prior)(const sg_task *t, int64_t at, int64_t count, REAL *restrict out)
{
    const REAL *w = (const REAL *)t->weight + at, *centre = (const REAL *)t->centre, *unit = (const REAL *)t->unit;
    const REAL given = (REAL)t->prior, inverse = (REAL)t->inverse, strength = (REAL)(t->prior * t->inverse);
    if (t->law == SG_LAW_GIVEN) {
        for (int64_t i = 0; i < count; i++)
            out[i] = given * unit[at + i];
        return;
    }
    if (centre)
        for (int64_t i = 0; i < count; i++)
            out[i] = w[i] - centre[at + i];
    const REAL *from = centre ? out : w;
    if (unit)
        for (int64_t i = 0; i < count; i++)
            out[i] = from[i] * unit[at + i];
    TYPED(slopes)(t, count, inverse, strength, unit ? out : from, out);
    if (unit)
        for (int64_t i = 0; i < count; i++)
            out[i] *= unit[at + i];
}

#undef BIAS
#undef MAGIC
#undef LN2_HIGH
#undef LN2_LOW
