/* The gradient of a stack of dense layers under a likelihood: what burst.c hands to the arithmetic of dense.c. */
#ifndef SGMCMC_MX_DENSE_H
#define SGMCMC_MX_DENSE_H

#include <stdint.h>

#include "step.h"

/* Rows of our own arrays are padded to a multiple of the longest vector. */
#define SG_PAD 16
#define SG_PADDED(n) (((n) + SG_PAD - 1) / SG_PAD * SG_PAD)
/* Products are summed over so many terms before the next rows are begun with: they stay in the caches. */
#define SG_DEPTH 256
/* Multiplications and additions from which on a product is worth several threads. */
#define SG_WORTH 2000000

/* In the order of dense.py. */
enum { SG_IDENTITY, SG_RELU, SG_SIGMOID, SG_TANH, SG_SOFTRELU, SG_SOFTSIGN, SG_LEAKY, SG_ELU };
enum { SG_CATEGORICAL, SG_BERNOULLI, SG_POISSON, SG_GAUSSIAN, SG_GAUSSIAN_LEARNED, SG_GAUSSIAN_LABEL, SG_GAUSSIAN_SOFTPLUS };

typedef struct {
    int64_t in, out;
    int activation;
    float slope;                        /* of SG_LEAKY and SG_ELU, below zero */
    const float *weight, *bias;         /* (out, in) and (out), bias 0 where there is none */
    float *weight_grad, *bias_grad;
} sg_layer;

/* The right factor of a product: element (k, n) is data[k * stride + n], or data[n * stride + k]. */
typedef struct {
    const float *data;
    int64_t stride, width;              /* columns beyond the width are 0 */
    int transposed, padded;             /* padded: there are readable numbers up to the end of a vector */
} sg_matrix;

typedef struct {
    int layers, likelihood;
    int64_t label_width;
    double ignored;                     /* a label that is no evidence; not a number: there is none */
    const double *sigma;                /* of SG_GAUSSIAN, one an output */
    sg_layer *layer;
    int64_t batch;                      /* the most rows of a minibatch */
    float **value;                      /* of each layer, and of the inputs before them: (batch, padded width) */
    float *delta[2];                    /* derivatives by them: (batch, padded width of the widest) */
    float *bias;                        /* a padded one */
    int threads;                        /* for one product */
} sg_network;

/* Gradient of the summed -log p of `n` examples, whose numbers are given, into the layers' arrays; returns the sum. */
typedef double sg_gradient(sg_network *net, const float *inputs, const float *labels, const int32_t *rows, int64_t n);

/* That of an instruction set by its rank, as in step.h. */
sg_gradient *sg_gradient_of_rank(int rank);

#endif
