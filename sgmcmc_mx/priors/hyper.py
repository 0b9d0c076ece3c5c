"""Hyperpriors: scales that are drawn while a sampler runs."""
from __future__ import annotations

import re
from typing import Any, Iterable, Optional, Sequence, Tuple

from .._check import choice, integer, number
from .base import Prior, shown
from .law import Law
from .names import as_prior

__all__ = ["Drawn", "Gamma"]


class Drawn(Prior):
    """Base of the priors with a scale that the sampler draws anew while it runs, given the weights (a Gibbs step).

    ``by`` says what shares a scale, ``every`` how many steps lie between draws, ``select`` whose names match.
    """

    is_drawn = True

    def __init__(self, by: str, every: int, select: Optional[str]) -> None:
        self.by = choice("by", by, ("tensor", "layer", "global"))
        self.every = integer("every", every, "a number of steps between draws", low=1)
        self.select = None
        if select is not None:
            if not isinstance(select, str):
                raise TypeError(f"select must be a regular expression, got {select!r}; write select='.*weight'")
            try:
                self.select = re.compile(select)
            except re.error as e:
                raise ValueError(f"select={select!r} is no regular expression ({e}); write select='.*weight'") from e

    def group(self, names: Sequence[str]) -> Optional[str]:
        """Name of the group of a parameter, None where it has no hyperprior."""
        if self.select is not None and not any(self.select.match(n) for n in names):
            return None
        if self.by == "global":
            return "all"
        name = names[1] if len(names) > 1 else names[0]     # the structural one, the same in every process
        if self.by == "tensor":
            return name
        return name.rpartition("." if len(names) > 1 else "_")[0] or ("net" if len(names) > 1 else name)

    def check(self, names: Iterable[Sequence[str]]) -> None:
        names = [tuple(n) for n in names]
        if self.select is not None and names and all(self.group(n) is None for n in names):
            raise ValueError(f"select={self.select.pattern!r} matches no parameter; the parameters are "
                             f"{', '.join('/'.join(group) for group in names[:8])}")


class Gamma(Drawn):
    r"""A gamma hyperprior on the prior precision, which the sampler draws anew while it runs (a Gibbs step). ::

        lambda ~ Gamma(shape, rate),        w | lambda ~ N(0, T / lambda)
        lambda | w ~ Gamma(shape + d / 2, rate + |w|^2 / (2 T))        d weights w share lambda

    before every ``every``-th step; until the first draw lambda is its mean, shape / rate. At T = 1 the joint law is
    the posterior of weights and precision. At another T it is the likelihood to the power 1/T under this prior, so
    that without data lambda keeps its hyperprior at every temperature; a step's own target, exp(-U/T) with U's
    prior term lambda |w|^2 / 2, is the conditional law of w for it. With ``wd_mult`` m of a parameter its precision is
    m lambda, and m |w|^2 counts.

    A draw reads the weights, and so waits for the steps before it.

    With ``prior`` the weights have that law in place of N(0, 1), and lambda multiplies its precision, 1 / scale^2; of a
    Laplace 1 / scale, of a generalised normal 1 / scale^beta. For a law exp(-lambda e(w)), e summed over elements, ::

        lambda | w ~ Gamma(shape + d / p, rate + e(w) / T),        p = 2, 1, beta

    and for Student's t, by the scales of its mixture, tau_i | w ~ Gamma((nu + 1) / (2 T), 1 + lambda x_i^2 / nu), ::

        lambda | tau, w ~ Gamma(shape + d / 2, rate + sum tau_i x_i^2 / nu),        x = w at scale 1

    after which tau is forgotten: a step goes on with Student's t itself. Its power 1/T must be a density: T < nu + 1.

    Parameters
    ----------
    shape, rate : float, default 1.0
        Of the hyperprior, > 0: mean shape / rate, variance shape / rate^2.
    by : 'tensor', 'layer' or 'global', default 'tensor'
        What shares a lambda: each parameter, the parameters of each layer (structural names up to the last ``.``, or
        Gluon's up to the last ``_`` where a plain trainer knows no others), the network.
    every : int, default 100
        Steps between draws.
    select : str, optional
        A regular expression: only parameters whose names match it from the start (as in Gluon's
        ``collect_params(select)``) have a hyperprior; the others keep ``wd``.
    prior : Prior, 'fan_in' or dict, optional
        The law at lambda = 1, for instance ``StudentT(3, 'fan_in')``. Parameters of which it says nothing keep ``wd``.
        Default N(0, 1).
    """

    def __init__(self, shape: float = 1.0, rate: float = 1.0, by: str = "tensor", every: int = 100,
                 select: Optional[str] = None, prior: Any = None) -> None:
        self.shape = number("shape", shape, "the shape of a gamma law, shape=1.0", low=0.0, open_low=True)
        self.rate = number("rate", rate, "the rate of a gamma law, rate=1.0", low=0.0, open_low=True)
        super().__init__(by, every, select)
        self.prior = None if prior is None else as_prior(prior)
        if self.prior is not None and not self.prior.is_fixed():
            raise TypeError(f"prior is {prior!r:.100}, a prior of your own, whose scale has no law that can be drawn "
                            "from; write one of sgmcmc_mx.priors, as StudentT(3, 'fan_in')")

    prior: Optional[Prior] = None   # of a sampler that an earlier version has stored

    def __repr__(self) -> str:
        return shown(self, {"shape": self.shape, "rate": self.rate, "by": self.by, "every": self.every,
                            "select": None if self.select is None else self.select.pattern, "prior": self.prior})

    def base(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        """The law of a parameter at lambda = 1, None where it has no hyperprior."""
        if self.group(names) is None:
            return None
        law = Law.plain(1.0) if self.prior is None else self.prior.law(names, shape)
        if law is not None and law.power is None:
            raise ValueError(f"prior gives parameter {names[-1]} a law ({law.kind}) whose scale cannot be drawn "
                             "exactly; write a Gaussian, Laplace, GeneralizedNormal, StudentT or Cauchy")
        return law

    def check(self, names: Iterable[Sequence[str]]) -> None:
        names = [tuple(n) for n in names]
        super().check(names)
        if self.prior is not None:
            self.prior.check(names)

    def law(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[Law]:
        law = self.base(names, shape)
        return None if law is None else law.times(self.shape / self.rate)

    def precision(self, names: Sequence[str], shape: Tuple[int, ...]) -> Optional[float]:
        law = self.law(names, shape)
        return None if law is None else law.precision
