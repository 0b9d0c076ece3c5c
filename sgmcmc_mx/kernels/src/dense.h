/* The gradient of a stack of layers under a likelihood: what burst.c hands to the arithmetic of dense.c. */
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
/* Rows of products are read up to the end of two vectors. */
#define SG_SLACK (2 * SG_PAD)
/* Into so many shares the examples of a convolution's minibatch go. */
#define SG_TEAMS 8

/* In the order of dense.py. */
enum { SG_IDENTITY, SG_RELU, SG_SIGMOID, SG_TANH, SG_SOFTRELU, SG_SOFTSIGN, SG_LEAKY, SG_ELU };
enum { SG_DENSE, SG_CONVOLUTION, SG_MAX_POOLING };
enum { SG_CATEGORICAL, SG_BERNOULLI, SG_POISSON, SG_GAUSSIAN, SG_GAUSSIAN_LEARNED, SG_GAUSSIAN_LABEL,
       SG_NOISY_DIRICHLET, SG_GAUSSIAN_SOFTPLUS };

/* Of a convolution or a pooling: images of a channel lie one after the other, and rows of an image. */
typedef struct {
    int64_t channels, height, width;    /* of what comes in */
    int64_t kernel[2], stride[2], pad[2];
    int64_t high, wide;                 /* of what goes out */
} sg_window;

typedef struct {
    int kind;
    int64_t in, out;                    /* numbers of an example */
    int64_t units;                      /* of a dense layer; channels that go out of others */
    int activation;
    float slope;                        /* of SG_LEAKY and SG_ELU, below zero */
    sg_window window;
    const float *weight, *bias;         /* (units, in), or (units, channels, kernel); and (units), bias 0 for none */
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
    const double *sigma;                /* of SG_GAUSSIAN, one an output; of SG_NOISY_DIRICHLET mean, variance and
                                           log of the normalising factor of a logit, of any class and of the label's */
    sg_layer *layer;
    int64_t batch;                      /* the most rows of a minibatch */
    float **value;                      /* of each layer, and of the inputs before them: (batch, padded width) */
    float *delta[2];                    /* derivatives by them: (batch, padded width of the widest) */
    float *bias;                        /* a padded one */
    float *columns, *patches, *sums;    /* of convolutions, for each team; see convolution_body.h */
    int64_t room;                       /* of columns and patches, one team's */
    int threads;                        /* for one product */
} sg_network;

/* Gradient of the summed -log p of `n` examples, whose numbers are given, into the layers' arrays; returns the sum. */
typedef double sg_gradient(sg_network *net, const float *inputs, const float *labels, const int32_t *rows, int64_t n);

/* That of an instruction set by its rank, as in step.h. */
sg_gradient *sg_gradient_of_rank(int rank);

#endif
