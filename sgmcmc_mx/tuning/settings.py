"""A step, a friction, a thermostat, burn-in and thinning for a network and its data, each with its reason."""
from __future__ import annotations

from typing import Any, List, Optional

import mxnet as mx
import numpy as np
from mxnet import gluon

from .._check import choice, integer, number
from .._network import Loss
from ..batches.labelled import Labelled, LabelledData
from ..batches.layout import BatchLayout
from ..data import ResumableLoader
from ..full_data.potential import prior_laws
from ..gradients import Gradients
from ..samplers import SASGHMC, SGHMC
from .measure import CURVATURE_EXAMPLES, Measurement
from .native import native_gradients
from .outlook import outlook
from .prior_choice import Tried, best_precision
from .rules import Noise, Step, capped, choose, friction_in_force, relaxation
from .scales import scaling_of
from .suggestion import Suggestion, family
from .survey import Survey, surveyed
from .trial import starts_here
from .ways import cheapest, ways

__all__ = ["suggest"]

SCALED = "psgld", "sasghmc"       # divide each weight's step by the size of its gradient
FOLLOW_UP = "sgnhtp", "msgnht", "msgnht_s_aboba", "msgnht_s_badodab", "msgnhtp_s_badodab"      # are sgnht, too


def suggest(net: gluon.Block, loss: Loss, data: LabelledData, optimizer: str = "sgnht",
            optimizer_params: Optional[dict] = None, *, batch_size: int = 100, steps: Optional[int] = None,
            batches: int = 40, pilot: int = 300, layout: Optional[BatchLayout] = None,
            control_variates: bool = False, prior: Optional[str] = None,
            held_out: Optional[LabelledData] = None, hottest: Optional[float] = None) -> Suggestion:
    r"""Measure minibatch noise and curvature, and propose a sampler's settings, each with a sentence of reason.

    What is measured: curvature k along 24 directions that stand for all (Ritz vectors of the Hessian, by Lanczos'
    iteration on finite differences of gradients; all directions where there are no more), and V, the noise of grad U
    over minibatches, along these and of each coordinate, with and without control variates centred at the start. At a
    mode that SGD has found both are far smaller than where the posterior has its mass (by ten thousand and by fifty
    times on a network 784-400-400-10), so a short pilot chain leaves the mode first; the weights come back. With eta =
    learning_rate / N, friction a, temperature T and b_i = eta V_i / (2 T):

    * eta k = 1/2: along the steepest direction standard deviations are 7 % too large (1 / (1 - eta k / 4) in variance);
      the chain blows up from about 4.
    * Minibatches heat direction u by b_u = eta u'Vu / (2 T). One thermostat for all takes out the mean over weights, so
      that the standard deviation along u is sqrt((a + b_u) / (a + mean b)) of the posterior's (times sqrt(1 - alpha/2),
      the step's own error). The step is the longest that keeps nine directions in ten within 10 %, with a friction of
      .05 (to .2 where the step is given); where each weight by itself is better met, it gets a thermostat of its own
      (``sghmc``: an estimate). Where weights are correlated it is not: docs/correlated_noise.md.
    * 2 a + eta V / T stays well below 1, where a thermostat has no fixed point.
    * ``psgld`` and ``sasghmc`` multiply each weight's step by M, one over the size of its gradient. All is measured and
      foretold in x = w / sqrt(M), where they are SGLD and SGHMC. So is what an M adds that follows the gradient, and
      what ``sasghmc`` takes out without looking at how much there is.
    * burn_in: the relaxation time of the flattest direction, about alpha / (eta k), k the prior's precision where the
      data say nothing, or three times what a thermostat takes to answer, mu alpha / (eta T); but not more than an
      eighth of ``steps``. thin: as leaves 400 samples of ``steps`` (else a fiftieth of the relaxation time), but not
      less than the momentum's memory, 2 / alpha, while that leaves ten.

    Parameters
    ----------
    net : gluon.Block
        The network at the weights where the chain will start; after SGD, as a rule. Nothing of it is changed.
    loss : callable
        ``loss(net(x), y)`` gives one -log p an example, shape (batch,), as :mod:`sgmcmc_mx.likelihoods` do.
    data : (x, y), DataLoader, DataIter or list of (x, y)
        The training data: a pair of arrays, of which batches are drawn, or the batches that the chain will use. A
        DataLoader that reshuffles every epoch is told of, where that makes a chain too cold.
    optimizer : 'sgnht', 'sghmc', 'sgld', 'psgld', 'sasghmc' or a follow-up's name, such as 'msgnht'; or 'auto'
        ``'auto'`` chooses among ``sgnht``, ``sghmc`` without ``gradient_noise`` and ``sgld``, with and without control
        variates, with batches as given, 4 and 16 times as large: what keeps nine directions in ten within 10 % and goes
        through the posterior in the least passes over the data, or, where none keeps them, what comes nearest. What is
        harder to arrange than ``sgnht`` on the batches given has to save half. Look at ``control_variates`` and
        ``batch_size`` of what it returns: settings for the one are wrong without it.
    optimizer_params : dict, optional
        Arguments of the sampler that are settled (``wd`` or ``prior``, ``temperature``, ...). A ``learning_rate``,
        ``friction``, ``thermostat``, ``gradient_noise`` or ``subtract_noise`` among them is kept, and judged.
    batch_size : int, default 100
        Examples in a batch, where ``data`` is a pair of arrays.
    steps : int, optional
        Length of the run, burn-in included.
    batches : int, default 40
        Batches that V is measured on.
    pilot : int, default 300
        Steps in which the pilot chain leaves the mode, in growing steps; 0 measures at the present weights.
    layout : BatchLayout, optional
        Which entries of a batch are inputs, label and weights, where the network does not say so.
    control_variates : bool, default False
        Whether the chain's gradients will come from :class:`~sgmcmc_mx.ControlVariates`, centred where the weights are
        now. The settings are then for what noise those leave: without them the chain would be far too hot or too cold.
    prior : 'suggest', optional
        Choose ``wd``, the precision of a prior N(0, 1 / wd) on all weights, among .1, .3, 1, ..., 300: what six samples
        of a short chain under each predict best of ``held_out``, by mean log predictive density. It costs eight pilot
        chains more. A chain that is short favours what it finds soon; look at ``priors``, which has all of them.
    held_out : (x, y) or batches, optional
        For ``prior='suggest'``: data that neither the chain nor the training of the weights sees.
    hottest : float, optional
        Shorten the step until standard deviations are foretold to be no more than so many times the posterior's along
        the hottest direction that was looked at, too, such as 2.0: one direction in twenty may be as hot as it comes to
        be. It costs steps: what heats a direction is proportional to the step, so that 9 brought down to 2 take some 27
        times as many.

    Returns
    -------
    Suggestion
        ``print`` it; give ``optimizer``, ``optimizer_params`` and ``trainer_params`` to the trainer.

    Notes
    -----
    It costs about as much as four thousand steps. Noise and curvature are those of six to eighteen places of a pilot
    chain, which goes on, to sixteen times ``pilot`` steps, until V no longer changes by more than 1.3 times while it
    walks twice as far; ``places`` says how well they are known. ``docs/advice.md`` has what came of it on eight
    problems. ``lr_mult`` is taken to be 1. The network must be float32.

    Examples
    --------
    >>> s = sg.suggest(net, loss_fn, (x_train, y_train), 'sgnht', {'wd': 3.0}, steps=28000)
    >>> print(s)
    >>> trainer = sg.BayesianTrainer(net, s.optimizer, s.optimizer_params, loss_fn, **s.trainer_params)
    """
    choice("optimizer", optimizer, ("sgnht", "sghmc", "sgld", *SCALED, "auto", *FOLLOW_UP))
    if steps is not None:
        steps = integer("steps", steps, "the length of the run, or None", low=10)
    if hottest is not None:
        hottest = number("hottest", hottest, "how many times the posterior's standard deviation along the hottest "
                         "direction may be, such as hottest=2.0", low=1.0, open_low=True)
    batches = integer("batches", batches, "batches that the noise is measured on", low=4)
    pilot = integer("pilot", pilot, "steps of a chain that leaves the mode, or 0 for none", low=0)
    if not isinstance(control_variates, bool):
        raise TypeError(f"control_variates must be True or False, got {control_variates!r}; True if the chain's "
                        "gradients will come from sgmcmc_mx.ControlVariates")
    if control_variates and not pilot:
        raise ValueError("control_variates=True needs a pilot chain, got pilot=0: at the centre itself they leave no "
                         "noise; write pilot=300")
    if control_variates and optimizer in SCALED:
        raise ValueError(f"control_variates=True with optimizer={optimizer!r}, whose scales are learned from the "
                         "gradients that these leave: what comes of that is not foretold; write optimizer='sgnht'")
    _check_prior(prior, held_out, optimizer_params, pilot)
    gradients = Gradients("suggest", net, loss)
    _check_float32(gradients)
    batched = _batched(data, batch_size, gradients, layout, np.random.RandomState(0))
    given = _given(optimizer_params)
    if "num_data" not in given:
        given["num_data"] = _num_data(data, batched)
        if not given["num_data"]:
            raise ValueError("data is empty: suggest needs at least one example; write the training data")
    if optimizer == "auto":
        _check_free(given, pilot, control_variates)
    sampler = _checked("sgnht" if optimizer == "auto" else optimizer, given)
    native = None if layout is not None else native_gradients(gradients, loss, data, batch_size, CURVATURE_EXAMPLES,
                                                              np.random.RandomState(0))
    measured: Any = native or (gradients, batched)
    measurement = Measurement(measured[0], measured[1], sampler.num_data, _precision_of(gradients, given),
                              sampler.temperature)
    tried: List[Tried] = []
    if held_out is not None:
        tried = best_precision(measurement, _batched(held_out, batch_size, gradients, layout, None), pilot)
        given["wd"] = tried[0].precision
        measurement.precisions = _precision_of(gradients, given)
    survey = surveyed(measurement, pilot, batches, scaling_of(sampler))
    if optimizer == "auto":
        found = _cheapest(measurement, survey, given, steps, hottest)
    else:
        noise = survey.noises[-1 if control_variates else 0]
        other = None if control_variates else _with_control_variates(sampler, given, survey)
        step = _chosen(sampler, given, noise, survey.curvature[1], hottest)
        found = Suggestion(sampler, given, step, noise, survey.curvature, measurement.batch_size, steps, _epoch(data),
                           control_variates=control_variates, other=other)
    # With control variates the chain's gradients are not those that a trial would have.
    sound = None if found.control_variates or not pilot else starts_here(measurement, found.optimizer,
                                                                         found.optimizer_params)
    found.tell_priors(tried)
    found.tell_hottest(hottest)
    found.tell(outlook(survey, sound, steps, found.burn_in, found.wanted, measurement.seconds))
    return found


def _cheapest(measurement: Measurement, survey: Survey, given: dict, steps: Optional[int],
              hottest: Optional[float]) -> Suggestion:
    """Of all ways the one that goes through the posterior in the least passes over the data."""
    known = ways(survey.noises, survey.curvature, measurement.temperature, measurement.num_data, measurement.batch_size,
                 hottest)
    way = cheapest(known)
    step = way.step._replace(eta=_rounded(way.step.eta * measurement.num_data) / measurement.num_data,
                             friction=_rounded(way.step.friction))
    step = capped(step, way.noise, measurement.temperature, hottest)
    found = Suggestion(_checked(way.optimizer, given), given, step, way.noise, survey.curvature, way.batch_size, steps,
                       control_variates=way.control_variates)
    found.choose(known, way)
    return found


def _check_free(given: dict, pilot: int, control_variates: bool) -> None:
    """With 'auto' nothing may be settled that it chooses."""
    settled = [name for name in ("learning_rate", "lr_scheduler", "friction", "momentum", "a", "thermostat",
                                 "gradient_noise", "integrator") if name in given]
    if settled:
        raise ValueError(f"optimizer='auto' chooses {', '.join(settled)} itself; leave it out of optimizer_params, or "
                         "write optimizer='sgnht'")
    if control_variates or not pilot:
        raise ValueError("optimizer='auto' chooses control variates itself, for which it needs a pilot chain; leave "
                         "out control_variates and pilot")


def _check_prior(prior: Optional[str], held_out: Optional[LabelledData], params: Optional[dict], pilot: int) -> None:
    if prior not in (None, "suggest"):
        raise ValueError(f"prior={prior!r}: the one word here is 'suggest'; a prior that is settled is an argument of "
                         "the sampler, optimizer_params={'prior': ...}")
    if (prior is None) != (held_out is None):
        raise ValueError("prior='suggest' and held_out belong together; write prior='suggest', held_out=(x_val, "
                         "y_val), data that neither the chain nor the training of the weights sees")
    if prior and not pilot:
        raise ValueError("prior='suggest' needs chains under each prior, got pilot=0; write pilot=300")
    settled = [name for name in ("wd", "prior") if prior and name in (params or {})]
    if settled:
        raise ValueError(f"prior='suggest' chooses wd itself, and optimizer_params has {settled[0]}; leave it out")


def _given(params: Optional[dict]) -> dict:
    params = {} if params is None else params
    if not isinstance(params, dict) or not all(isinstance(name, str) for name in params):
        raise TypeError(f"optimizer_params must be a dictionary of arguments by name, got {params!r}; write "
                        "{'wd': 3.0}, or leave it out")
    return dict(params)


def _check_float32(gradients: Gradients) -> None:
    for p in gradients.trained:
        if np.dtype(p.dtype) != np.float32:
            raise ValueError(f"parameter {p.name} is {np.dtype(p.dtype).name}, and differences of gradients need "
                             "float32; call suggest before net.cast")


def _batched(data: LabelledData, batch_size: int, gradients: Gradients, layout: Optional[BatchLayout],
             order: Optional[np.random.RandomState]) -> Labelled:
    first = gradients.trained[0].data(gradients.contexts[0])
    return Labelled(gradients.net, data, batch_size, gradients.contexts[0], isinstance(first, mx.np.ndarray),
                    first.dtype, order, layout)


def _num_data(data: Any, batched: Labelled) -> int:
    """Examples in the data set."""
    if batched.every is not None:
        return batched.every.size
    if isinstance(data, gluon.data.DataLoader):
        return len(data._dataset)
    if isinstance(data, (list, tuple)):
        return sum(batch.size for batch in batched)
    raise ValueError(f"how many examples a {type(data).__name__} has in all is not known; write optimizer_params="
                     "{'num_data': N}")


def _epoch(data: Any) -> Optional[int]:
    """Steps of an epoch, where each brings every example once in an order of its own; None where that is not known."""
    sampler = getattr(data, "_batch_sampler", None)
    shuffles = isinstance(getattr(sampler, "_sampler", None), gluon.data.RandomSampler)
    if shuffles or isinstance(data, ResumableLoader) and data.place.shuffle and not data.place.replacement:
        return len(data)
    return None


def _checked(optimizer: str, given: dict) -> Any:
    """The sampler with what is settled, so that it can complain, and say its defaults."""
    # Where no step is given one is chosen that noise allows: the default one must not be refused for it.
    step = {} if {"learning_rate", "lr_scheduler"} & set(given) else {"learning_rate": 1e-12}
    if optimizer == "sasghmc":
        step["burn_in"] = 1     # chosen, too
    sampler = mx.optimizer.create(optimizer, **{"seed": 0, **step, **given})
    if not sampler.temperature:
        raise ValueError("temperature is 0, at which a sampler is an optimizer; suggest needs a temperature above 0")
    return sampler


def _precision_of(gradients: Gradients, given: dict) -> list:
    params = gradients.trained
    names = [(p.name, name) for p, name in zip(params, gradients.names)]
    return [law.precision for law in prior_laws(params, names, given.get("wd", 1.0), given.get("prior"))]


def _chosen(sampler: Any, given: dict, noise: Noise, steepest: float, hottest: Optional[float] = None) -> Step:
    eta = sampler.base_learning_rate / sampler.num_data if {"learning_rate", "lr_scheduler"} & set(given) else None
    friction = sampler.friction if {"friction", "momentum", "a"} & set(given) else None
    treatment, told = getattr(sampler, "settled", given).get("thermostat", given.get("thermostat")), None
    if "gradient_noise" in given and isinstance(sampler, SGHMC):
        treatment = {None: "none", "estimate": "estimate"}.get(given["gradient_noise"], "mean")
        told = sampler.gradient_noise if treatment == "mean" else None
    if "subtract_noise" in given and isinstance(sampler, SASGHMC):
        treatment = "believed" if sampler.subtract_noise else "none"
    step = choose(family(sampler), noise, steepest, sampler.temperature, eta, friction, treatment, told)
    if eta is None:
        step = step._replace(eta=_rounded(step.eta * sampler.num_data) / sampler.num_data)
    if friction is None:
        step = step._replace(friction=_rounded(step.friction))
    step = step._replace(split=getattr(sampler, "integrator", "euler") != "euler")
    return step if eta is not None else capped(step, noise, sampler.temperature, hottest)


def _with_control_variates(sampler: Any, given: dict, survey: Survey) -> Optional[float]:
    """Steps in which a chain with them would relax, if that was measured and the step is free to be chosen."""
    if len(survey.noises) < 2 or {"learning_rate", "lr_scheduler"} & set(given):
        return None
    step = _chosen(sampler, given, survey.noises[1], survey.curvature[1])
    return relaxation(step.eta, friction_in_force(step, survey.noises[1], sampler.temperature), survey.curvature[0])


def _rounded(x: float) -> float:
    return float(f"{x:.2g}")
