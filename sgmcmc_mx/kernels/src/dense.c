/* Forward and backward of a stack of layers under a likelihood.
 *
 * Networks of a few thousand weights are small enough that calling an operator for each layer costs more than the
 * arithmetic in it. Here a whole gradient is one call. Sums run in the order of the examples, and of the units, whatever
 * the width of a vector: AVX2 and AVX-512 give the same bits. The baseline has no multiply-add in one rounding, and
 * rounds otherwise.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast", "no-trapping-math")
#endif

#include <math.h>
#include <string.h>

#include "dense.h"

#define ALWAYS inline __attribute__((always_inline))

#define HALF_LOG_2PI 0.91893853320467274178

/* A label that cannot be makes loss and gradient infinite or undefined, so that it is found. */
static inline float possible(int is)
{
    return is ? 1.0f : INFINITY;
}

/* By functions that older C libraries have under the same version; so is softplus below. */
static double logarithm(double x)
{
    int exponent;
    const double part = frexp(x, &exponent);
    return exponent * M_LN2 + log1p(part - 1.0);
}

static double categorical(const float *z, float label, float *delta, int64_t width)
{
    float most = z[0], sum = 0;
    for (int64_t k = 1; k < width; k++)
        most = z[k] > most || z[k] != z[k] ? z[k] : most;
    for (int64_t k = 0; k < width; k++)
        sum += delta[k] = expf(z[k] - most);
    const int is = label >= 0 && label < width && label == floorf(label);
    const int64_t right = is ? (int64_t)label : 0;
    const float factor = possible(is), share = 1.0f / sum;
    for (int64_t k = 0; k < width; k++)
        delta[k] = (delta[k] * share - (k == right)) * factor;
    return (logf(sum) + most - z[right]) * factor;
}

/* Logits are seen with normal noise: that of the label's class, and that of the others. */
static double noisy_dirichlet(const sg_network *net, const float *z, float label, float *delta, int64_t width)
{
    double loss = 0;
    const float factor = possible(label >= 0 && label < width && label == floorf(label));
    for (int64_t k = 0; k < width; k++) {
        const double *law = net->sigma + (k == label ? 3 : 0);
        const float r = z[k] - (float)law[0], slope = r / (float)law[1];
        loss += (0.5 * r * slope + law[2]) * factor;
        delta[k] = slope * factor;
    }
    return loss;
}

static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(1.0 + expm1(-fabs(x)));
}

static double bernoulli(const float *z, const float *label, float *delta, int64_t width)
{
    double loss = 0;
    for (int64_t k = 0; k < width; k++) {
        const float factor = possible(label[k] == 0.0f || label[k] == 1.0f), sign = 1.0f - 2.0f * label[k];
        loss += softplus(sign * z[k]) * factor;
        delta[k] = sign / (1.0f + expf(-sign * z[k])) * factor;
    }
    return loss;
}

static double poisson(const float *z, const float *label, float *delta, int64_t width)
{
    double loss = 0;
    for (int64_t k = 0; k < width; k++) {
        const float y = label[k], factor = possible(y >= 0.0f && y == floorf(y)), rate = expf(z[k]);
        int sign;
        loss += (rate - (double)y * z[k] + lgamma_r((y > 0 ? y : 0) + 1.0, &sign)) * factor;
        delta[k] = (rate - y) * factor;
    }
    return loss;
}

static double gaussian(const sg_network *net, const float *z, const float *label, float *delta, int64_t width)
{
    double loss = 0;
    for (int64_t k = 0; k < width; k++) {
        const float sigma = (float)net->sigma[k], r = (z[k] - label[k]) / sigma;
        loss += 0.5 * r * r + logarithm(net->sigma[k]) + HALF_LOG_2PI;
        delta[k] = r / sigma;
    }
    return loss;
}

/* The network says k means, then k logarithms of sigma. */
static double gaussian_learned(const float *z, const float *label, float *delta, int64_t width)
{
    const int64_t half = width / 2;
    double loss = 0;
    for (int64_t k = 0; k < half; k++) {
        const float s = z[half + k], precision = expf(-s), r = (label[k] - z[k]) * precision;
        loss += 0.5 * r * r + s + HALF_LOG_2PI;
        delta[k] = -r * precision;
        delta[half + k] = 1.0f - r * r;
    }
    return loss;
}

/* The network says k means, then k values u: sigma = log(1 + exp(u)). Far below 0 that is exp(u). */
static double gaussian_softplus(const float *z, const float *label, float *delta, int64_t width)
{
    const int64_t half = width / 2;
    double loss = 0;
    for (int64_t k = 0; k < half; k++) {
        const float u = z[half + k], e = expf(-fabsf(u)), sigma = (u > 0 ? u : 0) + log1pf(e);
        const float precision = 1.0f / sigma, r = (label[k] - z[k]) * precision;
        loss += 0.5 * r * r + logf(sigma) + HALF_LOG_2PI;
        delta[k] = -r * precision;
        delta[half + k] = (1.0f - r * r) * precision * (u > 0 ? 1.0f : e) / (1.0f + e);
    }
    return loss;
}

/* The label says k values, then their k sigmas. */
static double gaussian_label(const float *z, const float *label, float *delta, int64_t width)
{
    double loss = 0;
    for (int64_t k = 0; k < width; k++) {
        const float sigma = label[width + k], factor = possible(sigma > 0), r = (z[k] - label[k]) / sigma;
        loss += (0.5 * r * r + logarithm(sigma) + HALF_LOG_2PI) * factor;
        delta[k] = r / sigma * factor;
    }
    return loss;
}

/* -log p of each example summed in their order, and its derivatives by the outputs. */
static double likelihood(const sg_network *net, const float *z, int64_t stride, const float *labels,
                         const int32_t *rows, int64_t n, float *delta)
{
    const int64_t width = net->layer[net->layers - 1].out;
    double loss = 0;
    for (int64_t b = 0; b < n; b++, z += stride, delta += stride) {
        const float *label = labels + rows[b] * net->label_width;
        if (*label == net->ignored) {       /* never, where no label is */
            memset(delta, 0, width * sizeof *delta);
            continue;
        }
        switch (net->likelihood) {
        case SG_CATEGORICAL:
            loss += categorical(z, *label, delta, width);
            break;
        case SG_NOISY_DIRICHLET:
            loss += noisy_dirichlet(net, z, *label, delta, width);
            break;
        case SG_BERNOULLI:
            loss += bernoulli(z, label, delta, width);
            break;
        case SG_POISSON:
            loss += poisson(z, label, delta, width);
            break;
        case SG_GAUSSIAN:
            loss += gaussian(net, z, label, delta, width);
            break;
        case SG_GAUSSIAN_LEARNED:
            loss += gaussian_learned(z, label, delta, width);
            break;
        case SG_GAUSSIAN_LABEL:
            loss += gaussian_label(z, label, delta, width);
            break;
        case SG_GAUSSIAN_SOFTPLUS:
            loss += gaussian_softplus(z, label, delta, width);
            break;
        }
    }
    return loss;
}

#define ISA(name) name##_base
#define LANES 4
#define ROWS 6
#include "dense_body.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")
#define ISA(name) name##_avx512
#define LANES 16
#define ROWS 12
#include "dense_body.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define ISA(name) name##_avx2
#define LANES 8
#define ROWS 6
#include "dense_body.h"
#pragma GCC pop_options

sg_gradient *sg_gradient_of_rank(int rank)
{
    return rank == 2 ? gradient_avx512 : rank == 1 ? gradient_avx2 : gradient_base;
}
#else
sg_gradient *sg_gradient_of_rank(int rank)
{
    (void)rank;
    return gradient_base;
}
#endif
