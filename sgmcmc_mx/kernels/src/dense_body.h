/* Included by dense.c once for each instruction set. A vector has LANES floats; a tile of a product has up to ROWS rows
 * and two vectors of columns, which the registers hold. */

typedef float ISA(vf) __attribute__((vector_size(4 * LANES)));
typedef int32_t ISA(vi) __attribute__((vector_size(4 * LANES)));

static ALWAYS ISA(vf) ISA(load)(const float *p)
{
    ISA(vf) x;
    memcpy(&x, p, sizeof x);
    return x;
}

static ALWAYS void ISA(store)(float *p, ISA(vf) x)
{
    memcpy(p, &x, sizeof x);
}

/* ---------------------------------------------------------------- products
 *
 * c[m][n] = start[n] + sum over k of a[m * rs + k * ks] * b[k * ldb + n], in the order of k, so that the sums are the
 * same whatever the tiles. In a tile without `start` the sum goes on from what c holds. A tile reads b and start up to
 * the end of a vector.
 */
static ALWAYS void ISA(tile)(const int rows, const int vectors, int64_t depth, const float *a, int64_t rs, int64_t ks,
                             const float *b, int64_t ldb, float *c, int64_t ldc, const float *start, int64_t columns)
{
    ISA(vf) sum[ROWS][2], x[2];
    float part[2 * LANES] = {0};
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        const float *from = start ? start : c + r * ldc;
        if (!start && columns < vectors * LANES)
            from = memcpy(part, from, columns * sizeof *part);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[r][v] = ISA(load)(from + v * LANES);
    }
    for (int64_t k = 0; k < depth; k++, a += ks, b += ldb) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            x[v] = ISA(load)(b + v * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            const float factor = a[r * rs];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sum[r][v] += factor * x[v];
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        float *to = columns < vectors * LANES ? part : c + r * ldc;
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            ISA(store)(to + v * LANES, sum[r][v]);
        if (to == part)
            memcpy(c + r * ldc, part, columns * sizeof *part);
    }
}

#define TILES(rows)                                                                                                   \
    for (; m + (rows) <= height; m += (rows))                                                                         \
        if (columns > LANES)                                                                                          \
            ISA(tile)(rows, 2, depth, a + m * rs, rs, ks, b, ldb, c + m * ldc, ldc, start, columns);                  \
        else                                                                                                          \
            ISA(tile)(rows, 1, depth, a + m * rs, rs, ks, b, ldb, c + m * ldc, ldc, start, columns);

/* All rows of one strip of columns, over one stretch of k. */
static void ISA(rows)(int64_t height, int64_t columns, int64_t depth, const float *a, int64_t rs, int64_t ks,
                      const float *b, int64_t ldb, float *c, int64_t ldc, const float *start)
{
    int64_t m = 0;
    TILES(ROWS)
    TILES(4)
    TILES(2)
    TILES(1)
}
#undef TILES

/* Rows k .. k + deep - 1 of a strip of b, one after the other; what b has not is 0. */
static void ISA(gather)(const sg_matrix *b, int64_t n, int64_t columns, int64_t k, int64_t deep, float *panel,
                        int64_t width)
{
    const int64_t there = b->width - n < columns ? b->width - n : columns;
    if (b->transposed) {
        for (int64_t j = 0; j < there; j++)
            for (int64_t i = 0; i < deep; i++)
                panel[i * width + j] = b->data[(n + j) * b->stride + k + i];
        for (int64_t j = there; j < width; j++)
            for (int64_t i = 0; i < deep; i++)
                panel[i * width + j] = 0.0f;
        return;
    }
    for (int64_t i = 0; i < deep; i++) {
        const float *from = b->data + (k + i) * b->stride + n;
        if (there == width) {
            for (int64_t j = 0; j < width; j += LANES)
                ISA(store)(panel + i * width + j, ISA(load)(from + j));
        } else {
            memset(panel + i * width, 0, width * sizeof *panel);
            memcpy(panel + i * width, from, there * sizeof *panel);
        }
    }
}

/* One strip of columns. A stretch of b that is not read where it lies is gathered once for all rows of a. */
static void ISA(strip)(int64_t height, int64_t n, int64_t columns, int64_t depth, const float *a, int64_t rs,
                       int64_t ks, const sg_matrix *b, float *c, int64_t ldc, const float *start)
{
    float panel[2 * LANES * SG_DEPTH] __attribute__((aligned(64)));
    const int64_t width = columns > LANES ? 2 * LANES : LANES;
    const int far = b->stride > 8 * LANES && height > 2 * ROWS;
    for (int64_t k = 0; k < depth; k += SG_DEPTH) {
        const int64_t deep = depth - k < SG_DEPTH ? depth - k : SG_DEPTH;
        const float *from = b->data + k * b->stride + n;
        int64_t step = b->stride;
        if (far || b->transposed || !b->padded) {
            ISA(gather)(b, n, columns, k, deep, panel, width);
            from = panel;
            step = width;
        }
        ISA(rows)(height, columns, deep, a + k * ks, rs, ks, from, step, c + n, ldc, k ? 0 : start + n);
    }
}

/* Strips are spread over threads where that is worth it, which changes no bit. */
static void ISA(multiply)(int threads, int64_t height, int64_t width, int64_t depth, const float *a, int64_t rs,
                          int64_t ks, const sg_matrix *b, float *c, int64_t ldc, const float *start)
{
#define STRIP ISA(strip)(height, n, width - n < 2 * LANES ? width - n : 2 * LANES, depth, a, rs, ks, b, c, ldc, start)
#ifdef _OPENMP
    if (threads > 1 && 2 * height * width * depth >= SG_WORTH) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64_t n = 0; n < width; n += 2 * LANES)
            STRIP;
        return;
    }
#endif
    (void)threads;
    for (int64_t n = 0; n < width; n += 2 * LANES)
        STRIP;
#undef STRIP
}

/* ---------------------------------------------------------------- activations */

static ALWAYS ISA(vf) ISA(choose)(ISA(vi) mask, ISA(vf) yes, ISA(vf) no)
{
    return (ISA(vf))((mask & (ISA(vi))yes) | (~mask & (ISA(vi))no));
}

/* exp(x), held to the range of floats. x = n ln 2 + r, ln 2 in two parts; a polynomial in r (coefficients of Cephes'
 * expf, error below 1 ulp). Not a number stays that. */
static ALWAYS ISA(vf) ISA(exponential)(ISA(vf) x)
{
    typedef ISA(vf) vf;
    typedef ISA(vi) vi;
    const vf zero = {0};
    vf held = ISA(choose)(x > 88.3f, zero + 88.3f, ISA(choose)(x < -87.3f, zero - 87.3f, x));
    vf n = held * 1.44269504088896341f + 0x1.8p23f;     /* the nearest whole number, in the last places */
    vi exponent = (vi)n - 0x4B400000;
    n -= 0x1.8p23f;
    vf r = held - n * 0.693359375f - n * -2.12194440e-4f;
    vf p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vf y = (vf)((vi)p + (exponent << 23));
    return ISA(choose)(x == x, y, x);
}

#include "vector_log.h"

/* log(1 + x) for 0 <= x <= 1: log u + (x - (u - 1)) / u with u = 1 + x rounded. */
static ALWAYS ISA(vf) ISA(log1p)(ISA(vf) x)
{
    ISA(vf) u = 1.0f + x;
    return ISA(natural_log)(u) + (x - (u - 1.0f)) / u;
}

/* tanh(x): a polynomial below 5/8 (coefficients of Cephes' tanhf), 1 - 2 / (exp(2 |x|) + 1) from there on. */
static ALWAYS ISA(vf) ISA(hyperbolic)(ISA(vf) x)
{
    typedef ISA(vf) vf;
    typedef ISA(vi) vi;
    vi sign = (vi)x & (int32_t)0x80000000;
    vf size = (vf)((vi)x ^ sign), z = x * x;
    vf p = -5.70498872745e-3f * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    vf small = p * z * x + x, large = 1.0f - 2.0f / (ISA(exponential)(size + size) + 1.0f);
    return ISA(choose)(size < 0.625f, small, (vf)((vi)large | sign));
}

/* The activation of a vector, and the derivative from its value y. */
static ALWAYS ISA(vf) ISA(activated)(const int kind, const float slope, ISA(vf) x)
{
    const ISA(vf) zero = {0};
    ISA(vf) size = ISA(choose)(x < 0.0f, -x, x);
    switch (kind) {
    case SG_RELU:
        return ISA(choose)(x < 0.0f, zero, x);
    case SG_SIGMOID:
        return 1.0f / (1.0f + ISA(exponential)(-x));
    case SG_TANH:
        return ISA(hyperbolic)(x);
    case SG_SOFTRELU:
        return ISA(choose)(x < 0.0f, zero, x) + ISA(log1p)(ISA(exponential)(-size));
    case SG_SOFTSIGN:
        return x / (1.0f + size);
    case SG_LEAKY:
        return ISA(choose)(x < 0.0f, slope * x, x);
    case SG_ELU:
        return ISA(choose)(x < 0.0f, slope * (ISA(exponential)(x) - 1.0f), x);
    default:
        return x;
    }
}

static ALWAYS ISA(vf) ISA(slope)(const int kind, const float slope, ISA(vf) y)
{
    const ISA(vf) zero = {0}, one = zero + 1.0f;
    ISA(vf) rest = 1.0f - ISA(choose)(y < 0.0f, -y, y);
    switch (kind) {
    case SG_RELU:
        return ISA(choose)(y > 0.0f, one, zero);
    case SG_SIGMOID:
        return y * (1.0f - y);
    case SG_TANH:
        return 1.0f - y * y;
    case SG_SOFTRELU:
        return 1.0f - ISA(exponential)(-y);
    case SG_SOFTSIGN:
        return rest * rest;
    case SG_LEAKY:
        return ISA(choose)(y < 0.0f, zero + slope, one);
    case SG_ELU:
        return ISA(choose)(y < 0.0f, y + slope, one);
    default:
        return one;
    }
}

#define EACH(kind)                                                                                                    \
    case kind:                                                                                                        \
        for (int64_t i = 0; i < count; i += LANES)                                                                    \
            APPLY(kind)                                                                                               \
        break;
#define ALL EACH(SG_RELU) EACH(SG_SIGMOID) EACH(SG_TANH) EACH(SG_SOFTRELU) EACH(SG_SOFTSIGN) EACH(SG_LEAKY) EACH(SG_ELU)

static void ISA(activate)(const sg_layer *l, float *x, int64_t count)
{
    const float slope = l->slope;
#define APPLY(kind) ISA(store)(x + i, ISA(activated)(kind, slope, ISA(load)(x + i)));
    switch (l->activation) {
        ALL
    }
#undef APPLY
}

/* delta *= derivative of the activation that gave y. */
static void ISA(deactivate)(const sg_layer *l, float *delta, const float *y, int64_t count)
{
    const float slope = l->slope;
#define APPLY(kind) ISA(store)(delta + i, ISA(load)(delta + i) * ISA(slope)(kind, slope, ISA(load)(y + i)));
    switch (l->activation) {
        ALL
    }
#undef APPLY
}
#undef ALL
#undef EACH

#include "convolution_body.h"

/* ---------------------------------------------------------------- forward and backward */

static void ISA(dense_forward)(sg_network *net, const sg_layer *l, const float *x, float *y, int64_t n)
{
    const int64_t lx = SG_PADDED(l->in), ly = SG_PADDED(l->out), width = (l->out + LANES - 1) / LANES * LANES;
    const sg_matrix weight = {.data = l->weight, .stride = l->in, .width = l->out, .transposed = 1};
    for (int64_t i = 0; i < ly; i++)
        net->bias[i] = l->bias && i < l->out ? l->bias[i] : 0.0f;
    ISA(multiply)(net->threads, n, width, l->in, x, lx, 1, &weight, y, ly, net->bias);
}

/* Derivatives by a layer's weights and, if `below` is given, by what came into it. */
static void ISA(dense_backward)(sg_network *net, const sg_layer *l, const float *x, float *delta, float *below, int64_t n)
{
    const int64_t lx = SG_PADDED(l->in), ly = SG_PADDED(l->out), width = (l->in + LANES - 1) / LANES * LANES;
    const sg_matrix inputs = {.data = x, .stride = lx, .width = lx, .padded = 1};
    const sg_matrix weight = {.data = l->weight, .stride = l->in, .width = l->in};
    for (int64_t i = 0; i < lx || i < ly; i++)
        net->bias[i] = 0.0f;
    ISA(multiply)(net->threads, l->out, l->in, n, delta, 1, ly, &inputs, l->weight_grad, l->in, net->bias);
    if (below)
        ISA(multiply)(net->threads, n, width, l->out, delta, ly, 1, &weight, below, lx, net->bias);
    if (l->bias) {
        for (int64_t b = 0; b < n; b++)
            for (int64_t i = 0; i < ly; i += LANES)
                ISA(store)(net->bias + i, ISA(load)(net->bias + i) + ISA(load)(delta + b * ly + i));
        memcpy(l->bias_grad, net->bias, l->out * sizeof *net->bias);
    }
}

static void ISA(forward)(sg_network *net, const sg_layer *l, const float *x, float *y, int64_t n)
{
    if (l->kind == SG_CONVOLUTION)
        ISA(convolve)(net, l, x, y, n);
    else if (l->kind == SG_MAX_POOLING)
        ISA(pool)(net, l, x, y, n);
    else
        ISA(dense_forward)(net, l, x, y, n);
    ISA(activate)(l, y, n * SG_PADDED(l->out));
}

static void ISA(backward)(sg_network *net, const sg_layer *l, const float *x, float *delta, float *below, int64_t n)
{
    if (l->kind == SG_CONVOLUTION)
        ISA(convolve_back)(net, l, x, delta, below, n);
    else if (l->kind == SG_MAX_POOLING)
        ISA(pool_back)(net, l, x, delta, below, n);
    else
        ISA(dense_backward)(net, l, x, delta, below, n);
}

static double ISA(gradient)(sg_network *net, const float *inputs, const float *labels, const int32_t *rows, int64_t n)
{
    const int last = net->layers - 1;
    const int64_t in = net->layer[0].in, first = SG_PADDED(in), end = SG_PADDED(net->layer[last].out);
    for (int64_t b = 0; b < n; b++)
        memcpy(net->value[0] + b * first, inputs + rows[b] * in, in * sizeof *inputs);
    for (int i = 0; i <= last; i++)
        ISA(forward)(net, net->layer + i, net->value[i], net->value[i + 1], n);
    float *delta = net->delta[0], *below = net->delta[1], *next;
    double loss = likelihood(net, net->value[last + 1], end, labels, rows, n, delta);
    for (int i = last; i >= 0; i--, next = delta, delta = below, below = next) {
        const sg_layer *l = net->layer + i;
        ISA(deactivate)(l, delta, net->value[i + 1], n * SG_PADDED(l->out));
        ISA(backward)(net, l, net->value[i], delta, i ? below : 0, n);
    }
    return loss;
}

#undef ISA
#undef LANES
#undef ROWS
