"""Likelihoods: -log p(y | network output), one number per example, and the predictive distribution that goes with it.

A posterior needs U(w) = -sum_i log p(y_i | x_i, w) - log p(w). Gluon's own losses are not that for several outputs:
``L2Loss``, ``SigmoidBCELoss`` and their kin take the MEAN over every axis but the batch, which divides the evidence of
each example by its number of outputs and leaves the prior too strong. The losses here SUM over the outputs of an
example and keep every constant, so that values can be compared between noise models and checked against a density.

Each is a ``gluon.loss.Loss``: call it as ``loss(output, label)``, hybridized or not, with ``mx.nd`` or (under
``npx.set_np``) ``mx.np`` arrays; the result has shape ``(batch,)``. On a CPU a call is one operator of MXNet, forward
and backward, without ``hybridize()``; the numbers are the same to the last bit. There is no ``batch_axis``: it is the
first. Labels may have any dtype; float16 outputs are computed in float32, which is then the result's dtype. (Inside
another HybridBlock, where dtypes and shapes are not known, label and weight must have the output's dtype, and weight
one number an example.) A label that the distribution cannot produce, class 10 of 10 or a count of -1, has probability
zero: its loss is infinite or NaN and so is its gradient, where MXNet would silently take the nearest class.

``loss(output, label, weight)`` takes a weight for each example, shape ``(batch,)``, and gives ``-w log p``: the
likelihood to the power w, which is that of w such examples. An example of weight 2 is two examples, one of weight 0 is
none: its loss and gradient are exactly 0, whatever its label says. Weights are counts, then, and their sum is how many
examples the data weigh against the prior, while ``num_data`` stays the number of rows. Where the weights only say what
counts more than what (importance weights, rare classes), divide them by their mean over the data set, or the evidence
changes with their unit. They must be >= 0; a negative one makes its loss infinite or NaN, which is found as a
divergence is, for to look at them would make every step wait.

The NumPy side (``predictive``, ``draw``, ``noise_variance``, ``cdf``) takes the network's outputs as NumPy arrays with
any number of leading axes, for instance (samples, n, outputs).
"""
from .activations import as_predictive
from .base import Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .gaussian import Gaussian
from .negative_binomial import NegativeBinomial
from .noisy_dirichlet import NoisyDirichlet
from .ordinal import Ordinal
from .poisson import Poisson
from .student_t import StudentT

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood", "NegativeBinomial", "NoisyDirichlet", "Ordinal",
           "Poisson", "StudentT", "as_predictive"]
