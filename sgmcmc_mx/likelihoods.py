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
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mxnet import gluon
from mxnet.ndarray import NDArray
from mxnet.symbol import Symbol
from mxnet.util import is_np_array

from ._distributions import floats, like, normal_cdf, poisson_cdf, sigmoid, softmax

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood", "Poisson", "as_predictive"]

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid, "identity": floats}


class Likelihood(gluon.loss.Loss):
    """Base of the likelihoods: checks shapes, sums over outputs, and hands the mathematics to ``_nll``.

    A subclass sets ``kind`` and gives ``_nll(F, output, label)``, -log p per output, and ``predictive(output)``.
    """

    kind: str = ""  #: 'classification' (predictive = probabilities) or 'regression' (predictive = the mean of y)
    discrete: bool = False

    def __init__(self, **kwargs: Any) -> None:
        for name in ("weight", "batch_axis"):
            if name in kwargs:
                raise TypeError(f"{name}: {type(self).__name__} has none, because a weighted likelihood is not a "
                                "likelihood. Leave it out; the batch is the first axis.")
        super().__init__(weight=None, batch_axis=0, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def forward(self, output: Any, label: Any) -> Any:
        """-log p(label | output), shape (batch,). Shapes are checked before anything is queued on the device."""
        if isinstance(output, NDArray):
            if not isinstance(label, NDArray):
                raise TypeError(f"label: need an NDArray like the output, got {type(label).__name__}. "
                                "Write mx.nd.array(label, ctx=output.ctx).")
            self._check_shapes(output.shape, label.shape)
            if np.dtype(output.dtype).kind != "f":
                raise TypeError(f"output: need floats, got {np.dtype(output.dtype).name}. Write "
                                "output.astype('float32').")
            if output.dtype == np.float16:
                output = output.astype("float32")
            if label.dtype != output.dtype:
                label = label.astype(output.dtype)
        elif not isinstance(output, Symbol):
            raise TypeError(f"output: need the network's output, an NDArray, got {type(output).__name__}. Write "
                            "mx.nd.array(output), or predictive(output) for NumPy.")
        return super().forward(output, label)

    def hybrid_forward(self, F: Any, output: Any, label: Any) -> Any:
        # mx.np arrays share their memory and their gradient with the mx.nd view, so one set of operators does for both.
        loss = self._nll(F, output.as_nd_ndarray(), label.as_nd_ndarray())
        loss = F.sum(loss, axis=0, exclude=True)
        return loss.as_np_ndarray() if is_np_array() else loss

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """What p(y | x, w) says about y for given network outputs: its probabilities, or its mean."""
        raise NotImplementedError(f"{type(self).__name__} does not define predictive(output).")

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define _nll(F, output, label).")

    def _label_shape(self, output_shape: tuple) -> tuple:
        """The shape that labels of this output have, up to axes of length 1. Raises if the output itself is wrong."""
        return output_shape

    def _check_shapes(self, output_shape: tuple, label_shape: tuple) -> None:
        # Left to broadcasting, a label of shape (n,) against an output of (n, 1) becomes (n, n) without a word.
        need = self._label_shape(output_shape)
        same = [d for d in need if d != 1] == [d for d in label_shape if d != 1]
        if not same or label_shape[:1] != need[:1]:
            raise ValueError(f"label: {self!r} needs shape {need} for an output of shape {output_shape}, got "
                             f"{label_shape}. {self._label_hint(output_shape, label_shape)}")

    def _label_hint(self, output_shape: tuple, label_shape: tuple) -> str:
        return "Reshape the label, or give the network as many outputs as there are labels."


class Categorical(Likelihood):
    """One of several classes: -log softmax(output)[label], summed over extra positions such as the steps of a sequence.

    ``output``: logits (batch, ..., classes); ``label``: class numbers 0 .. classes - 1, shape (batch, ...), any dtype.
    ``predictive`` gives softmax over the last axis. With one label per example this is Gluon's ``SoftmaxCELoss``; over
    the positions of a sequence that one averages.
    """

    kind = "classification"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """Probabilities, softmax over the last axis; same shape as ``output``."""
        return softmax(output)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        label = F.reshape_like(label, output, lhs_begin=0, lhs_end=None, rhs_begin=0, rhs_end=-1)
        loss = -F.pick(F.log_softmax(output, axis=-1), label, axis=-1)
        nearest = F.take(F.contrib.arange_like(output, axis=-1), label, axis=0, mode="clip")
        return _only_where(F, nearest == label, loss)

    def _label_shape(self, output_shape: tuple) -> tuple:
        if len(output_shape) < 2:
            raise ValueError(f"output: Categorical() needs logits of shape (batch, ..., classes), got {output_shape}. "
                             "For one logit per example use Bernoulli().")
        return output_shape[:-1]

    def _label_hint(self, output_shape: tuple, label_shape: tuple) -> str:
        if label_shape == output_shape:
            return "For one-hot labels write label.argmax(axis=-1)."
        return "Pass one class number per example (and position)."


class Bernoulli(Likelihood):
    """Independent yes-or-no outputs: -log p = log(1 + exp(-output)) for label 1, log(1 + exp(output)) for label 0.

    ``output``: logits of any shape (batch, ...); ``label``: exactly 0 or 1, same shape up to axes of length 1.
    ``predictive`` gives P(y = 1) = sigmoid(output). Both signs go through one stable softplus, so the gradient is exact
    everywhere; Gluon's ``SigmoidBCELoss`` is off by one half at a logit of exactly 0, a network's start with zeros.
    """

    kind = "classification"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """P(y = 1), sigmoid of each output; same shape as ``output``."""
        return sigmoid(output)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        label = F.reshape_like(label, output)
        loss = F.Activation((1 - 2 * label) * output, act_type="softrelu")
        return _only_where(F, label * (1 - label) == 0, loss)


class Gaussian(Likelihood):
    r"""Real outputs with normal noise: -log p = sum_k (y_k - m_k)^2 / (2 sigma_k^2) + log sigma_k + log(2 pi) / 2.

    sigma: standard deviation (not the variance) of the noise, in the units of y.
        A number (default 1.0): the same for every output. ``output`` (batch, ...) is the mean, ``label`` alike.
        A sequence or array of k numbers: one per output, along the last axis of length k.
        ``'learned'``: the network says, per input. Its last axis has 2k entries, first the k means, then the k values
        of log sigma, any real numbers; ``label`` has k. Nix & Weigend 1994; Kendall & Gal 2017, equation 5.

    For one unknown sigma shared by all inputs, let the network return a ``Parameter`` of its own as the second half: it
    is then sampled, kept and predicted with as every weight is, and under the same prior, N(0, 1/wd) on log sigma.
    With sigma 1 and one output this is Gluon's ``L2Loss`` plus a constant; of k outputs that one takes the mean.
    """

    kind = "regression"

    def __init__(self, sigma: float | Sequence[float] | np.ndarray | str = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sigma = _valid_sigma(sigma)

    @property
    def sigma(self) -> Any:
        """A float, a NumPy array with one entry per output, or 'learned'. Fixed at construction."""
        return self._sigma.copy() if isinstance(self._sigma, np.ndarray) else self._sigma

    def __repr__(self) -> str:
        return f"Gaussian(sigma={self._sigma.tolist() if isinstance(self._sigma, np.ndarray) else self._sigma!r})"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """The mean of y: ``output`` itself, or the first half of its last axis where sigma is learned."""
        return self._moments(output)[0]

    def noise_variance(self, output: np.ndarray) -> np.ndarray:
        """Variance of y for given weights, sigma^2; the shape of the mean."""
        return self._moments(output)[1] ** 2

    def cdf(self, y: Any, output: np.ndarray) -> np.ndarray:
        """P(Y <= y) for given weights, Phi((y - m) / sigma), float64, the shape of the mean; ``y`` broadcasts to it."""
        mean, sigma = self._moments(output)
        return normal_cdf((like(y, mean) - mean) / sigma)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        if isinstance(self._sigma, str):
            mean, log_sigma = F.split(output, num_outputs=2, axis=-1)
            z = (F.reshape_like(label, mean) - mean) * F.exp(-log_sigma)
            return 0.5 * F.square(z) + log_sigma + HALF_LOG_2PI
        residual = F.reshape_like(label, output) - output
        if np.size(self._sigma) == 1:
            z = residual / float(np.reshape(self._sigma, ()))
        else:
            # Scalars rather than a constant array, which would need a dtype and a device, and neither is known here.
            parts = F.split(residual, num_outputs=len(self._sigma), axis=-1)
            z = F.concat(*[part / float(s) for part, s in zip(parts, self._sigma)], dim=-1)
        # The mean of log sigma, added to each of the k outputs, sums to what every output's own would.
        return 0.5 * F.square(z) + (float(np.mean(np.log(self._sigma))) + HALF_LOG_2PI)

    def _label_shape(self, output_shape: tuple) -> tuple:
        last = output_shape[-1] if len(output_shape) > 1 else 1
        if isinstance(self._sigma, str):
            if last % 2:
                raise ValueError("output: Gaussian(sigma='learned') needs a last axis of 2k entries, k means and then "
                                 f"k log sigmas; got shape {output_shape}. Give the network twice as many outputs.")
            return output_shape[:-1] + (last // 2,)
        if isinstance(self._sigma, np.ndarray) and len(self._sigma) != last:
            raise ValueError(f"sigma: has {len(self._sigma)} entries but the network has {last} outputs (output shape "
                             f"{output_shape}). Give one sigma per output, or a single number.")
        return output_shape

    def _moments(self, output: np.ndarray) -> tuple:
        """(mean, sigma), both in the mean's shape."""
        output = floats(output)
        self._label_shape(output.shape)
        if not isinstance(self._sigma, str):
            return output, np.zeros_like(output) + self._sigma
        mean, log_sigma = np.split(output, 2, axis=-1)
        return mean, np.exp(log_sigma)


class Poisson(Likelihood):
    """Counts: -log p = exp(output) - y * output + log(y!), where ``output`` is the log of the rate.

    ``output`` of any shape (batch, ...); ``label``: whole numbers >= 0, same shape up to axes of length 1. Gluon's
    ``PoissonNLLLoss`` averages over everything, the batch too, and leaves log(y!) out or approximates it.
    """

    kind = "regression"
    discrete = True  #: quantiles are whole numbers

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """The mean of y, the rate exp(output)."""
        return np.exp(floats(output))

    def noise_variance(self, output: np.ndarray) -> np.ndarray:
        """Variance of y for given weights: of a Poisson law, its rate."""
        return self.predictive(output)

    def cdf(self, y: Any, output: np.ndarray) -> np.ndarray:
        """P(Y <= y) for given weights, float64; ``y`` broadcasts to ``output``. A step function of y."""
        log_rate = floats(output).astype(np.float64)
        return poisson_cdf(like(y, log_rate), log_rate)

    def _nll(self, F: Any, output: Any, label: Any) -> Any:
        label = F.reshape_like(label, output)
        loss = F.exp(output) - label * output + F.gammaln(F.relu(label) + 1)
        return _only_where(F, F.relu(F.floor(label)) == label, loss)


def as_predictive(activation: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The function from network outputs to probabilities (or means), both NumPy arrays, that ``activation`` means.

    'softmax' (over the last axis), 'sigmoid', 'identity', a :class:`Likelihood` (its ``predictive``), or a callable
    from NumPy array to NumPy array. Anything else is a ValueError.
    """
    if isinstance(activation, Likelihood):
        return activation.predictive
    if isinstance(activation, str) and activation in _ACTIVATIONS:
        return _ACTIVATIONS[activation]
    # Blocks (Gluon's own losses among them) take NDArrays, and a class is a forgotten pair of brackets.
    usable = callable(activation) and not isinstance(activation, (gluon.Block, type))
    if not usable:
        raise ValueError(f"activation: got {activation!r}. Pass one of {sorted(_ACTIVATIONS)}, a likelihood such as "
                         "Categorical(), or a function from NumPy array to NumPy array.")

    def checked(output: np.ndarray) -> np.ndarray:
        result = activation(floats(output))
        if not isinstance(result, np.ndarray):
            raise TypeError(f"activation: {activation!r} returned {type(result).__name__}; it must take and return a "
                            "NumPy array. Write lambda out: f(mx.nd.array(out)).asnumpy() around an MXNet function.")
        return result
    return checked


def _only_where(F: Any, possible: Any, loss: Any) -> Any:
    """``loss`` where the label is possible (1), and an infinite or undefined value AND gradient where it is not (0)."""
    # Division by a constant reaches the gradient; where(possible, loss, nan) would spoil that of every example.
    return loss / F.BlockGrad(possible)


def _valid_sigma(sigma: Any) -> Any:
    """The argument as 'learned', a float or a one-dimensional float64 array; anything else is a ValueError."""
    remedy = "Pass the noise's standard deviation: a number > 0, one such number per output, or 'learned'."
    if isinstance(sigma, str):
        if sigma != "learned":
            raise ValueError(f"sigma: {sigma!r} is not a known word. {remedy}")
        return sigma
    if hasattr(sigma, "asnumpy"):
        raise ValueError(f"sigma: got an MXNet {type(sigma).__name__}; write sigma.asnumpy().")
    value = np.asarray(sigma, dtype=object if sigma is None else None)
    if value.dtype.kind not in "fiu" or value.ndim > 1 or value.size == 0:
        raise ValueError(f"sigma: got {sigma!r}. {remedy}")
    if not (np.isfinite(value).all() and (value > 0).all()):
        raise ValueError(f"sigma: must be finite and above 0, got {sigma!r}. {remedy}")
    return float(value) if value.ndim == 0 else value.astype(np.float64)
