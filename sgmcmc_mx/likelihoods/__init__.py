"""Likelihoods: -log p(y | network output), one number per example, and the predictive distribution that goes with it.

A posterior needs U(w) = -sum_i log p(y_i | x_i, w) - log p(w). Gluon's own losses are not that for several outputs:
``L2Loss``, ``SigmoidBCELoss`` and their kin take the MEAN over every axis but the batch, which divides the evidence of
each example by its number of outputs and leaves the prior too strong. The losses here SUM over the outputs of an
example and keep every constant, so that values can be compared between noise models and checked against a density.

Each is a ``gluon.loss.Loss``: call it as ``loss(output, label)``, hybridized or not, with ``mx.nd`` or (under
``npx.set_np``) ``mx.np`` arrays; the result has shape ``(batch,)``. There is no ``weight``, ``batch_axis`` or
``sample_weight``: a weighted likelihood is not a likelihood. Labels may have any dtype; float16 outputs are computed
in float32, which is then the result's dtype. (Inside another HybridBlock, where dtypes are not known, the label must
have the output's.) A label that the distribution cannot produce, class 10 of 10 or a count of -1, has probability
zero: its loss is infinite or NaN and so is its gradient, where MXNet would silently take the nearest class.

The NumPy side (``predictive``, ``noise_variance``, ``cdf``) takes the network's outputs as NumPy arrays with any number
of leading axes, for instance (samples, n, outputs).
"""
from .activations import as_predictive
from .base import Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .gaussian import Gaussian
from .poisson import Poisson

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood", "Poisson", "as_predictive"]
