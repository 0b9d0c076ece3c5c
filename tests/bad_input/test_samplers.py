"""Options of the samplers, priors and schedules (tests/test_sampler_options.py has those that all samplers share)."""
from fractions import Fraction

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

from sgmcmc_mx import SGLD, SGNHT, priors
from sgmcmc_mx.schedules import CyclicalScheduler, PolynomialScheduler

from .harness import INF, NAN, check, rows

RATE, WD, PRIOR = "such as learning_rate=0.1", "wd=1.0 by default", "write prior=10.0, prior='fan_in' or prior={"
FRICTION, SEED, COUNT = "friction=0.1", "write a whole number below 2**64", "write num_data=len(dataset)"


class Half:
    """An object that is not finished."""

    def __repr__(self):
        return self.missing


def make(name, **options):
    """A call that makes the sampler."""
    return lambda world: mx.optimizer.create(name, **{"num_data": 100, **options})


SAMPLERS = [
    # numbers that are none, or too large for a float
    ("array of rates", make("sgld", learning_rate=np.array([0.1])), TypeError, "learning_rate", "ndarray", RATE),
    ("array without axes", make("sgld", learning_rate=np.array(0.1)), TypeError, "learning_rate", "array(0.1)", RATE),
    ("NDArray of rates", make("sghmc", learning_rate=nd.array([0.1])), TypeError, "learning_rate", "NDArray", RATE),
    ("complex rate", make("sgld", learning_rate=1j), TypeError, "learning_rate", "got 1j", RATE),
    ("rate above all floats", make("sgld", learning_rate=10 ** 400), ValueError, "learning_rate", "got 1000", RATE),
    ("fraction above all", make("sgld", wd=Fraction(10 ** 400)), ValueError, "wd must lie in [0, inf)", "000", WD),
    ("a million rates", make("sgld", learning_rate=list(range(10 ** 6))), TypeError, "learning_rate", "4, 5, 6", RATE),
    ("number that cannot be printed", make("sgld", num_data=-10 ** 5000), ValueError, "num_data must be at least 1",
     "got ", COUNT),
    ("object without a repr", make("sgld", wd=Half()), TypeError, "wd", "got a value of type Half", WD),
    ("seed above all floats", make("sgld", seed=10 ** 400), ValueError, "seed must be in [0, ", "got 1000", SEED),
    ("fraction for a seed", make("sgld", seed=Fraction(10 ** 400, 3)), ValueError, "seed must be a whole number",
     "got Fraction(1000", SEED),
    ("NaN seed", make("sgld", seed=NAN), ValueError, "seed", "got nan", SEED),
    ("infinite num_data", make("sgnht", num_data=INF), ValueError, "num_data", "got inf", COUNT),
    ("NDArray num_data", make("sgld", num_data=nd.array([5])), TypeError, "num_data", "NDArray", COUNT),
    ("no temperature", make("sgld", temperature=None), TypeError, "temperature", "got None", "1.0 is the posterior"),
    ("NaN temperature", make("sghmc", temperature=NAN), ValueError, "temperature", "got nan", "1.0 is the posterior"),
    ("infinite temperature", make("sgld", temperature=INF), ValueError, "temperature", "got inf", "is the posterior"),
    ("class of a schedule", make("sgld", lr_scheduler=CyclicalScheduler), TypeError, "lr_scheduler", "<class",
     "write lr_scheduler="),
    # MXNet's own options
    ("array multi_precision", make("sgld", multi_precision=np.ones(2)), ValueError, "multi_precision",
     "array([1., 1.])", "must be True or False"),
    ("no multi_precision", make("sgld", multi_precision=None), ValueError, "multi_precision", "got None",
     "must be True or False"),
    ("list of names", make("sgld", param_idx2name=["w"]), TypeError, "param_idx2name", "got ['w']",
     "write {0: 'weight'}"),
    ("number for parameters", make("sgld", param_dict=3), TypeError, "param_dict", "got 3", "write {0: parameter}"),
    ("number for a symbol", make("sgld", sym=3), TypeError, "sym must be an mxnet.symbol.Symbol", "got 3",
     "leave it out"),
    ("word for the steps taken", make("sgld", begin_num_update="a"), TypeError, "begin_num_update", "'a' of type str",
     "the number of steps already taken"),
    # integrators
    ("no integrator", make("sghmc", integrator=None), ValueError, "integrator", "got None", "one of 'euler', 'aboba'"),
    ("mistyped integrator", make("sgnht", integrator="badoab"), ValueError, "integrator", "'badoab'", "'badodab'"),
    ("integrator of sgld", make("sgld", integrator="euler"), TypeError, "sgld got an unknown option", "'integrator'",
     "options: begin_num_update"),
    ("friction of a splitting", make("sgnht", integrator="aboba", friction=1.5), ValueError, "friction", "got 1.5",
     FRICTION),
    ("NaN friction", make("sghmc", friction=NAN), ValueError, "friction", "got nan", FRICTION),
    ("infinite mass", make("sgnht", thermal_mass=INF), ValueError, "thermal_mass", "got inf", "leave it out"),
    ("mistyped group", make("sgnht", thermostat="Global"), ValueError, "thermostat", "got 'Global'", "one of 'global'"),
    # psgld
    ("NaN beta", make("psgld", beta=NAN), ValueError, "beta must lie in [0, 1)", "got nan", "beta=0.99"),
    ("word for beta", make("psgld", beta="0.9"), TypeError, "beta", "'0.9' of type str", "beta=0.99"),
    ("beta 1", make("psgld", beta=1), ValueError, "beta must lie in [0, 1)", "got 1", "beta=0.99"),
    ("negative epsilon", make("psgld", epsilon=-1), ValueError, "epsilon", "got -1", "such as epsilon=1e-5"),
    ("list gamma", make("psgld", gamma=[1]), TypeError, "gamma", "[1] of type list", "'fisher'"),
    ("infinite gamma", make("psgld", gamma=INF), ValueError, "gamma", "got inf", "'fisher'"),
    ("word for gamma", make("psgld", gamma="hessian"), ValueError, "gamma", "got 'hessian'", "write gamma='fisher'"),
    ("RMSprop's option", make("psgld", epsilom=0.9), TypeError, "psgld", "'epsilom'", "did you mean 'epsilon'?"),
    ("friction of psgld", make("psgld", friction=0.1), TypeError, "psgld got an unknown option", "'friction'",
     "options"), # sasghmc
    ("half a burn-in", make("sasghmc", burn_in=1.5), ValueError, "burn_in", "got 1.5", "the number of steps in which"),
    ("no burn-in", make("sasghmc", burn_in=None), TypeError, "burn_in", "got None", "the number of steps in which"),
    ("burn-in 0", make("sasghmc", burn_in=0), ValueError, "burn_in must be at least 1", "got 0", "the number of steps"),
    ("word for subtract_noise", make("sasghmc", burn_in=5, subtract_noise="no"), TypeError, "subtract_noise",
     "got 'no'", "must be True or False"),
    ("epsilon 0", make("sasghmc", burn_in=5, epsilon=0), ValueError, "epsilon", "got 0", "such as epsilon=1e-8"),
    ("noise that it learns", make("sasghmc", burn_in=5, gradient_noise=2.0), TypeError, "gradient_noise", "=2.0",
     "write subtract_noise=True or False"),
    ("momentum of sasghmc", make("sasghmc", burn_in=5, momentum=0.9), TypeError, "sasghmc got an unknown option",
     "'momentum'", "options: "),
    ("friction 0 of sasghmc", make("sasghmc", burn_in=5, friction=0.0), ValueError, "friction", "got 0.0", FRICTION),
    ("its integrator", make("sasghmc", burn_in=5, integrator="leapfrog"), ValueError, "integrator", "got 'leapfrog'",
     "one of 'euler'"),
    # the follow-up's names
    ("NaN a", make("msgnht", a=NAN), ValueError, "friction", "got nan", "write friction=0.1"),
    ("negative a", make("msgnht", a=-1.0), ValueError, "friction", "got -1.0", "write friction=0.1"),
    ("a shared thermostat", make("msgnht", thermostat="global"), ValueError, "thermostat='global'",
     "contradicts the name 'msgnht'", "write sgnht to choose"),
    ("word for a", make("sgnhtp", a="0.1"), TypeError, "friction", "'0.1' of type str", "write friction=0.1"),
    ("a twice", make("msgnht", a=0.1, friction=0.2), ValueError, "a=0.1", "friction=0.2", "write one"),
    ("another integrator", make("msgnht_s_aboba", integrator="badodab"), ValueError, "integrator='badodab'",
     "contradicts the name 'msgnht_s_aboba'", "write sgnht to choose"),
    ("another thermostat", make("msgnhtp_s_badodab", thermostat="tensor"), ValueError, "thermostat='tensor'",
     "contradicts the name", "write sgnht to choose"),
    ("word for its prior", make("sgnhtp", prior="gamma"), ValueError, "prior", "'gamma'", PRIOR),
    ("b", make("sgnhtp", b=1), TypeError, "sgnhtp got an unknown option", "'b'", "options: a, "),
    ("cold thermostat", make("sgnhtp", temperature=0), ValueError, "temperature", "got 0", "write sghmc"),
    ("hyperprior at T = 0", make("sgld", temperature=0.0, prior=priors.Gamma()), ValueError, "temperature > 0",
     "got 0.0", "write a fixed prior"),
    # classes, where another thing is meant
    ("a rate without its name", lambda w: SGLD(num_data=5, learning_rate={}), TypeError, "learning_rate", "{} of type",
     RATE),
    ("thermostat by number", lambda w: SGNHT(num_data=5, thermostat=1), ValueError, "thermostat", "got 1", "one of"),
]

PRIORS = [
    ("NaN", lambda w: priors.Constant(NAN), ValueError, "prior", "got nan", PRIOR),
    ("None", lambda w: priors.as_prior(None), TypeError, "prior", "got None", PRIOR),
    ("True", lambda w: priors.as_prior(True), TypeError, "prior", "True of type bool", PRIOR),
    ("array", lambda w: priors.as_prior(np.ones(2)), TypeError, "prior", "array([1., 1.])", PRIOR),
    ("class", lambda w: priors.as_prior(priors.Gamma), TypeError, "prior", "the class Gamma", "write Gamma(...)"),
    ("negative scale", lambda w: priors.FanIn(-1), ValueError, "scale", "got -1", "FanIn(scale=2.0)"),
    ("infinite scale", lambda w: priors.FanIn(INF), ValueError, "scale", "got inf", "FanIn(scale=2.0)"),
    ("pairs", lambda w: priors.ByName([(".*", 1.0)]), TypeError, "patterns", "got list", PRIOR),
    ("bytes", lambda w: priors.ByName({b".*": 1.0}), TypeError, "prior has the key", "b'.*'", PRIOR),
    ("list for a pattern", lambda w: priors.ByName({".*": [1]}), TypeError, "prior", "[1] of type list", PRIOR),
    ("word for a pattern", lambda w: priors.ByName({".*": "fanin"}), ValueError, "prior", "'fanin'", PRIOR),
    ("Gamma for a pattern", lambda w: priors.ByName({".*": priors.Gamma()}), TypeError, "prior", "'.*'",
     "give it alone: prior=Gamma(..., select='.*')"),
    ("shape", lambda w: priors.Gamma("a"), TypeError, "shape", "got 'a'", "shape=1.0"),
    ("shape 0", lambda w: priors.Gamma(0), ValueError, "shape", "got 0", "shape=1.0"),
    ("rate", lambda w: priors.Gamma(rate=NAN), ValueError, "rate", "got nan", "rate=1.0"),
    ("negative rate", lambda w: priors.Gamma(rate=-1.0), ValueError, "rate", "got -1.0", "rate=1.0"),
    ("every 0", lambda w: priors.Gamma(every=0), ValueError, "every", "got 0", "a number of steps between draws"),
    ("number for select", lambda w: priors.Gamma(select=3), TypeError, "select", "got 3", "write select='.*weight'"),
    ("by", lambda w: priors.Gamma(by="weight"), ValueError, "by", "got 'weight'", "one of 'tensor', 'layer', 'global'"),
    ("every", lambda w: priors.Gamma(every=1.5), ValueError, "every", "got 1.5", "a number of steps between draws"),
    ("select", lambda w: priors.Gamma(select=["a"]), TypeError, "select", "got ['a']", "write select='.*weight'"),
    ("no expression", lambda w: priors.Gamma(select="["), ValueError, "select='['", "no regular", "write select="),
]

SCHEDULES = [
    ("NaN", lambda w: PolynomialScheduler(NAN), ValueError, "base_lr", "got nan", "such as base_lr=0.01"),
    ("base_lr 0", lambda w: PolynomialScheduler(0), ValueError, "base_lr must lie in (0, inf)", "got 0",
     "base_lr=0.01"),
    ("negative offset", lambda w: PolynomialScheduler(offset=-1), ValueError, "offset", "got -1", "such as offset=100"),
    ("gamma above 1", lambda w: PolynomialScheduler(gamma=1.5), ValueError, "gamma must lie in (0, 1]", "got 1.5",
     "gamma=0.55"),
    ("a rise", lambda w: PolynomialScheduler.between(0.1, 0.2, 10), ValueError, "last must lie in (0, 0.1)", "got 0.2",
     "below the first"),
    ("no steps", lambda w: PolynomialScheduler.between(0.1, 0.01, 0), ValueError, "steps", "got 0",
     "such as steps=10000"),
    ("negative base_lr", lambda w: CyclicalScheduler(-1, 10), ValueError, "base_lr", "got -1", "such as base_lr=0.1"),
    ("cycle 0", lambda w: CyclicalScheduler(0.1, 0), ValueError, "cycle must be at least 1", "got 0", "cycle=1000"),
    ("half a step of a cycle", lambda w: CyclicalScheduler(0.1, 2.5), ValueError, "cycle", "got 2.5", "cycle=1000"),
    ("exploration 0", lambda w: CyclicalScheduler(0.1, 10, 0), ValueError, "exploration", "got 0", "leave it out"),
    ("exploration 1", lambda w: CyclicalScheduler(0.1, 10, 1.0), ValueError, "exploration", "got 1.0", "leave it out"),
    ("exploration of nearly all", lambda w: CyclicalScheduler(0.1, 10, 0.95), ValueError, "exploration=0.95",
     "none of the 10 steps", "or at most 0.9"),
    ("word", lambda w: PolynomialScheduler("a"), TypeError, "base_lr", "'a' of type str", "such as base_lr=0.01"),
    ("offset 0", lambda w: PolynomialScheduler(0.1, 0), ValueError, "offset", "got 0", "such as offset=100"),
    ("gamma 0", lambda w: PolynomialScheduler(0.1, 1, 0), ValueError, "gamma", "got 0", "gamma=0.55"),
    ("no gamma", lambda w: PolynomialScheduler(0.1, 1, None), TypeError, "gamma", "got None", "gamma=0.55"),
    ("no fall", lambda w: PolynomialScheduler.between(0.1, 0.1, 10), ValueError, "last", "got 0.1", "below the first"),
    ("NaN last", lambda w: PolynomialScheduler.between(0.1, NAN, 10), ValueError, "last", "got nan", "below the first"),
    ("half a step", lambda w: PolynomialScheduler.between(0.1, 0.01, 1.5), ValueError, "steps", "got 1.5",
     "such as steps=10000"),
    ("too deep a fall", lambda w: PolynomialScheduler.between(1e300, 1e-300, 10, 0.01), ValueError, "gamma=0.01",
     "first=1e+300", "write a larger gamma"),
    ("bad gamma of a fall", lambda w: PolynomialScheduler.between(0.1, 0.01, 10, 2.0), ValueError, "gamma", "got 2.0",
     "gamma=0.55"),
    ("no cycle", lambda w: CyclicalScheduler(0.1, None), TypeError, "cycle", "got None", "such as cycle=1000"),
    ("infinite cycle", lambda w: CyclicalScheduler(0.1, INF), ValueError, "cycle", "got inf", "such as cycle=1000"),
    ("word for exploration", lambda w: CyclicalScheduler(0.1, 10, "a"), TypeError, "exploration", "'a'",
     "leave it out"),
    ("NaN exploration", lambda w: CyclicalScheduler(0.1, 10, NAN), ValueError, "exploration", "got nan",
     "leave it out"),
    ("True exploration", lambda w: CyclicalScheduler(0.1, 10, True), TypeError, "exploration", "True", "leave it out"),
    ("a cycle of one step", lambda w: CyclicalScheduler(0.1, 1, 0.5), ValueError, "exploration=0.5",
     "none of the 1 steps", "write a longer cycle"),
]


@pytest.mark.parametrize("row", rows(SAMPLERS))
def test_samplers(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(PRIORS))
def test_priors(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(SCHEDULES))
def test_schedules(world, row):
    check(world, row)
