"""One of several classes that have an order."""
from __future__ import annotations

from typing import Any, Optional, Sequence, Union

import numpy as np

from .categorical import Categorical
from .distributions import floats, sigmoid

__all__ = ["Ordinal"]


class Ordinal(Categorical):
    r"""Classes in an order, such as grades: P(y <= j) = sigmoid(c_j - f), the cumulative logit model (McCullagh 1980).

    f is the network's score of an example, c_0 < c_1 < ... < c_(K-2) are the cut points between its K classes. Then
    -log p(y = j) = softplus(f - c_j) + softplus(c_(j-1) - f) - log(1 - exp(c_(j-1) - c_j)), without the terms of cuts
    that class 0 and class K - 1 have not.

    cuts : sequence of K - 1 numbers, or 'learned', default 'learned'
        Numbers, rising: ``output`` is f, shape (batch, ..., 1).
        ``'learned'``: the last axis of ``output`` has K >= 3 entries: f, the first cut, and the logs of the K - 2 gaps
        between cuts. For cuts that all inputs share let the network give f alone, and end it with
        ``sgmcmc_mx.nn.LogSigma(K - 1)``, whose parameters they then are. (f and cuts may be shifted together; the prior
        says by how much.) Of two classes write :class:`Bernoulli`.
    ignore_label
        As of :class:`Categorical`. ``label``: class numbers 0 .. K - 1, shape (batch, ...).
    """

    def __init__(self, cuts: Union[str, Sequence[float], np.ndarray] = "learned", ignore_label: Optional[int] = None,
                 **kwargs: Any) -> None:
        super().__init__(ignore_label, **kwargs)
        self._cuts = _checked(cuts)

    @property
    def cuts(self) -> Union[str, np.ndarray]:
        """The cut points, or 'learned'. Fixed at construction."""
        return self._cuts if isinstance(self._cuts, str) else np.array(self._cuts)

    def arguments(self) -> dict:
        """What it was made with, for a checkpoint."""
        cuts = self._cuts if isinstance(self._cuts, str) else list(self._cuts)
        return {"cuts": cuts, **super().arguments()}

    def __repr__(self) -> str:
        return f"Ordinal({', '.join(f'{name}={value!r}' for name, value in self.arguments().items())})"

    def predictive(self, output: np.ndarray) -> np.ndarray:
        """Probabilities of the classes, in place of the last axis."""
        output = floats(output)
        self._label_shape(output.shape)
        score = output[..., :1]
        if isinstance(self._cuts, str):
            steps = np.concatenate([output[..., 1:2] - score, np.exp(output[..., 2:])], axis=-1)
            above = np.cumsum(steps, axis=-1)
        else:
            above = np.asarray(self._cuts, output.dtype) - score
        # A difference of two sigmoids on the side where both are small.
        side = np.where(above[..., 1:] + above[..., :-1] > 0, -1, 1)
        middle = np.abs(sigmoid(side * above[..., 1:]) - sigmoid(side * above[..., :-1]))
        return np.concatenate([sigmoid(above[..., :1]), middle, sigmoid(-above[..., -1:])], axis=-1)

    def _log_p(self, F: Any, output: Any) -> Any:
        score = F.slice_axis(output, axis=-1, begin=0, end=1)
        zero = F.zeros_like(score)
        if isinstance(self._cuts, str):
            gaps = F.exp(F.slice_axis(output, axis=-1, begin=2, end=None))
            first = F.slice_axis(output, axis=-1, begin=1, end=2) - score
            steps = F.swapaxes(F.concat(first, gaps, dim=-1), 0, -1)    # the sum knows no negative axis
            above = F.swapaxes(F.cumsum(steps, axis=0), 0, -1)
            between = F.log(-F.expm1(-gaps))
        else:
            between = F.concat(*[zero + log for log in np.log(-np.expm1(-np.diff(self._cuts)))], dim=-1)
            above = F.concat(*[c - score for c in self._cuts], dim=-1)
        upper = F.concat(F.Activation(-above, act_type="softrelu"), zero, dim=-1)
        lower = F.concat(zero, F.Activation(above, act_type="softrelu"), dim=-1)
        return F.concat(zero, between, zero, dim=-1) - upper - lower

    def _label_shape(self, output_shape: tuple) -> tuple:
        learned = isinstance(self._cuts, str)
        wrong = len(output_shape) < 2 or (output_shape[-1] < 3 if learned else output_shape[-1] != 1)
        if wrong and learned:
            raise ValueError("output: Ordinal(cuts='learned') needs a last axis of K >= 3 entries, the score, the "
                             f"first cut and K - 2 logs of gaps; got shape {output_shape}. End the network with "
                             "sgmcmc_mx.nn.LogSigma(K - 1), or write Bernoulli() for two classes.")
        if wrong:
            raise ValueError(f"output: {self!r} needs one score an example, shape (batch, ..., 1), got {output_shape}. "
                             "End the network with Dense(1).")
        return output_shape[:-1]


def _checked(cuts: Any) -> Any:
    """'learned', or a tuple of at least two rising floats."""
    remedy = "Write cuts='learned', or numbers that rise, cuts=[-1.0, 0.0, 1.5] for four classes."
    if isinstance(cuts, str):
        if cuts != "learned":
            raise ValueError(f"cuts: {cuts!r} is not a known word. {remedy}")
        return cuts
    values = floats(cuts, "cuts").astype(np.float64)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all() or not (np.diff(values) > 0).all():
        raise ValueError(f"cuts: got {cuts!r:.200}, not two or more finite numbers that rise. {remedy}")
    return tuple(values.tolist())
