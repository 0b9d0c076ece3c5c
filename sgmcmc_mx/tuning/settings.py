"""A step, a friction, a thermostat, burn-in and thinning for a network and its data, each with its reason."""
from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
from mxnet import gluon

from .._network import Loss
from ..batches.labelled import LabelledData
from ..batches.layout import BatchLayout
from ..gradients import Gradients
from ..priors.names import prior_laws
from .arguments import asked
from .choosing import by_the_cheapest_way, by_the_sampler, checked_sampler
from .deadline import Deadline
from .examples import batched, epoch_of, number_of_examples
from .measure import CURVATURE_EXAMPLES, Measurement
from .native import native_gradients
from .outlook import outlook
from .prior_choice import Tried, best_precision
from .scales import scaling_of
from .suggestion import Suggestion
from .survey import surveyed
from .trial import starts_here

__all__ = ["suggest"]


def suggest(net: gluon.Block, loss: Loss, data: LabelledData, optimizer: str = "sgnht",
            optimizer_params: Optional[dict] = None, *, batch_size: int = 100, steps: Optional[int] = None,
            batches: int = 40, pilot: int = 300, layout: Optional[BatchLayout] = None,
            control_variates: bool = False, prior: Optional[str] = None,
            held_out: Optional[LabelledData] = None, hottest: Optional[float] = None,
            seconds: Optional[float] = None) -> Suggestion:
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
    seconds : float, optional
        How long it may measure. When they are over the pilot chain goes on no longer, settled or not, and noise is that
        of six places; what is under way is finished. ``prior='suggest'`` has half of them. ``places`` says how well
        things are known then. Default: as long as it takes.

    Returns
    -------
    Suggestion
        ``print`` it; give ``optimizer``, ``optimizer_params`` and ``trainer_params`` to the trainer.

    Notes
    -----
    A pilot chain goes on, to sixteen times ``pilot`` steps, until in two stages one after the other, each twice as long
    as the one before, V changes by less than 1.3 times and its own step no longer grows. Noise and curvature are those
    of eighteen places after that, or more, until V's hot end, which caps the step, is known to 10 % and the second half
    of the places has what the first half has, else the first is forgotten. Eighteen to thirty-six are looked at, and
    fifteen or more of them kept. ``places`` says how well things are known. Six places more are as many steps as half
    of the pilot chain, so that these are at most three times its steps; at each place 48 gradients are formed on 500
    examples, and 20 or more on batches. With ``pilot=300`` and batches of 100 that is worth ten to thirty thousand
    steps. Above 310,000 weights the directions of so many places would fill more than half a gigabyte: there twelve
    places have to do, and above 470,000 six. ``docs/advice.md`` has what came of it on eight problems. ``lr_mult`` is
    taken to be 1. The network must be float32.

    Examples
    --------
    >>> s = sg.suggest(net, loss_fn, (x_train, y_train), 'sgnht', {'wd': 3.0}, steps=28000)
    >>> print(s)
    >>> trainer = sg.BayesianTrainer(net, s.optimizer, s.optimizer_params, loss_fn, **s.trainer_params)
    """
    know = asked(optimizer, optimizer_params, steps, batches, pilot, control_variates, prior, held_out, hottest,
                 seconds)
    over = Deadline(know.seconds)
    gradients = Gradients("suggest", net, loss)
    _check_float32(gradients)
    seen, given = batched(data, batch_size, gradients, layout, np.random.RandomState(0)), know.given
    if "num_data" not in given:
        given["num_data"] = number_of_examples(data, seen)
    sampler = checked_sampler("sgnht" if know.is_open else optimizer, given)
    native = None if layout is not None else native_gradients(gradients, loss, data, batch_size, CURVATURE_EXAMPLES,
                                                              np.random.RandomState(0))
    measured: Any = native or (gradients, seen)
    measurement = Measurement(measured[0], measured[1], sampler.num_data, _precisions(gradients, given),
                              sampler.temperature)
    tried: List[Tried] = []
    if held_out is not None:
        tried = best_precision(measurement, batched(held_out, batch_size, gradients, layout, None), know.pilot, over)
        given["wd"] = tried[0].precision
        measurement.precisions = _precisions(gradients, given)
    survey = surveyed(measurement, know.pilot, know.batches, scaling_of(sampler), over)
    found = (by_the_cheapest_way(measurement, survey, given, know.steps, know.hottest) if know.is_open else
             by_the_sampler(measurement, survey, sampler, given, know.steps, know.hottest, know.control_variates,
                            epoch_of(data)))
    # With control variates the chain's gradients are not those that a trial would have.
    sound = None if found.control_variates or not know.pilot else starts_here(measurement, found.optimizer,
                                                                              found.optimizer_params)
    found.tell_priors(tried)
    found.tell_hottest(know.hottest)
    found.tell(outlook(survey, sound, know.steps, found.burn_in, found.wanted, measurement.seconds))
    return found


def _check_float32(gradients: Gradients) -> None:
    for p in gradients.trained:
        if np.dtype(p.dtype) != np.float32:
            raise ValueError(f"parameter {p.name} is {np.dtype(p.dtype).name}, and differences of gradients need "
                             "float32; call suggest before net.cast")


def _precisions(gradients: Gradients, given: dict) -> list:
    params = gradients.trained
    names = [(p.name, name) for p, name in zip(params, gradients.names)]
    return [law.precision for law in prior_laws(params, names, given.get("wd", 1.0), given.get("prior"))]
