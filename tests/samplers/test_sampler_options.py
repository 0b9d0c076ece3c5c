"""Wrong options of the samplers: each error names the argument, the value it got and what to write instead."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

from sgmcmc_mx import SGHMC, SGLD, SGNHT, priors

NAN, INF = float("nan"), float("inf")
RATE = "a step size such as learning_rate=0.1"
COUNT = "write num_data=len(dataset)"
PRECISION = "wd is the prior precision 1 / variance, wd=1.0 by default"
SEED = "write a whole number below 2**64, or leave it out"
FRICTION = "friction=0.1 damps a tenth of the momentum a step"
HOW = "write prior=10.0, prior='fan_in' or prior={'.*weight': 'fan_in', '.*bias': 1.0}"
used_up = mx.lr_scheduler.FactorScheduler(step=1, base_lr=0.1)
used_up.base_lr = 0.0

# name, options, error, parts of its message in order: argument, value, remedy
BAD = [
    # the step size
    ("sgld", {"learning_rate": -0.1}, ValueError, ["learning_rate must lie in (0, inf)", "got -0.1", RATE]),
    ("sghmc", {"learning_rate": 0}, ValueError, ["learning_rate must lie in (0, inf)", "got 0", RATE]),
    ("sgnht", {"learning_rate": NAN}, ValueError, ["learning_rate must lie in (0, inf)", "got nan", RATE]),
    ("sgld", {"learning_rate": INF}, ValueError, ["learning_rate must lie in (0, inf)", "got inf", RATE]),
    ("sgld", {"learning_rate": "0.1"}, TypeError, ["learning_rate must be a number", "'0.1' of type str", RATE]),
    ("sgld", {"learning_rate": True}, TypeError, ["learning_rate must be a number", "True of type bool", RATE]),
    ("sgld", {"learning_rate": [0.1]}, TypeError, ["learning_rate must be a number", "[0.1] of type list", RATE]),
    ("sgld", {"lr_scheduler": 0.1}, TypeError, ["lr_scheduler must be an mxnet.lr_scheduler.LRScheduler", "got 0.1",
                                                "CosineScheduler(max_update=10000, base_lr=0.1)"]),
    ("sgld", {"lr_scheduler": lambda t: 0.1}, TypeError, ["lr_scheduler must be an mxnet.lr_scheduler.LRScheduler",
                                                          "function", "base_lr=0.1"]),
    ("sghmc", {"lr_scheduler": used_up}, ValueError, ["base_lr of lr_scheduler must lie in (0, inf)", "got 0.0",
                                                      "write base_lr=0.1"]),
    # the data set
    ("sgld", {"num_data": 0}, ValueError, ["num_data must be at least 1", "got 0", COUNT]),
    ("sgld", {"num_data": -5}, ValueError, ["num_data must be at least 1", "got -5", COUNT]),
    ("sghmc", {"num_data": 10.5}, ValueError, ["num_data must be a whole number", "got 10.5", COUNT]),
    ("sgnht", {"num_data": NAN}, ValueError, ["num_data must be a whole number", "got nan", COUNT]),
    ("sgld", {"num_data": "60000"}, TypeError, ["num_data must be a whole number", "'60000' of type str", COUNT]),
    ("sgld", {"num_data": [1, 2]}, TypeError, ["num_data must be a whole number", "[1, 2] of type list", COUNT]),
    # prior and temperature
    ("sgld", {"wd": -1e-4}, ValueError, ["wd must lie in [0, inf)", "got -0.0001", PRECISION]),
    ("sgld", {"wd": None}, TypeError, ["wd must be a number", "None of type NoneType", PRECISION]),
    ("sgld", {"wd": INF}, ValueError, ["wd must lie in [0, inf)", "got inf", PRECISION]),
    ("sgld", {"prior": "normal"}, ValueError, ["prior got the word 'normal'", "knows is 'fan_in'", HOW]),
    ("sgld", {"prior": -2.0}, ValueError, ["prior must lie in [0, inf)", "got -2.0", HOW]),
    ("sgld", {"prior": [1.0]}, TypeError, ["prior must be a number", "[1.0] of type list", HOW]),
    ("sgld", {"prior": {}}, ValueError, ["prior is an empty dictionary", HOW]),
    ("sgld", {"prior": {1: 2.0}}, TypeError, ["prior has the key 1 of type int, not a name pattern", HOW]),
    ("sgld", {"prior": {"a(": 2.0}}, ValueError, ["prior has the key 'a(', which is no regular expression", HOW]),
    ("sgld", {"prior": {".*": -1.0}}, ValueError, ["prior must lie in [0, inf)", "got -1.0", HOW]),
    ("sgld", {"temperature": -0.5}, ValueError, ["temperature must lie in [0, inf)", "got -0.5",
                                                 "temperature=1.0 is the posterior"]),
    ("sghmc", {"temperature": "cold"}, TypeError, ["temperature must be a number", "'cold' of type str",
                                                   "temperature=1.0 is the posterior"]),
    ("sgnht", {"temperature": 0.0}, ValueError, ["temperature must lie in (0, inf)", "got 0.0",
                                                 "at 0 a thermostat only grows: write sghmc"]),
    # noise, clipping and MXNet's own
    ("sgld", {"seed": -1}, ValueError, ["seed must be in [0, 18446744073709551615]", "got -1", SEED]),
    ("sgld", {"seed": 2 ** 64}, ValueError, ["seed must be in [0, ", "got 18446744073709551616", SEED]),
    ("sgld", {"seed": 0.5}, ValueError, ["seed must be a whole number", "got 0.5", SEED]),
    ("sgld", {"seed": "a"}, TypeError, ["seed must be a whole number", "'a' of type str", SEED]),
    ("sgld", {"clip_gradient": 0.0}, ValueError, ["clip_gradient must lie in (0, inf)", "got 0.0",
                                                  "leave it out not to clip"]),
    ("sgld", {"clip_gradient": -1}, ValueError, ["clip_gradient must lie in (0, inf)", "got -1",
                                                 "leave it out not to clip"]),
    ("sgld", {"rescale_grad": 0.0}, ValueError, ["rescale_grad must lie in (0, inf)", "got 0.0", "1.0 by default"]),
    ("sgld", {"rescale_grad": "1"}, TypeError, ["rescale_grad must be a number", "'1' of type str", "batch size"]),
    ("sgld", {"begin_num_update": -1}, ValueError, ["begin_num_update must be at least 0", "got -1",
                                                    "the number of steps already taken"]),
    ("sgld", {"begin_num_update": 1.5}, ValueError, ["begin_num_update must be a whole number", "got 1.5",
                                                     "the number of steps already taken"]),
    ("sgld", {"multi_precision": "yes"}, ValueError, ["multi_precision must be True or False", "got 'yes'"]),
    # options that do not exist, or not for this sampler
    ("sgld", {"learning_rat": 0.1}, TypeError, ["sgld got an unknown option 'learning_rat'",
                                                "did you mean 'learning_rate'?", "options: begin_num_update"]),
    ("sgld", {"friction": 0.1}, TypeError, ["sgld got an unknown option 'friction'", "options: "]),
    ("sgnht", {"momentum": 0.9}, TypeError, ["sgnht got an unknown option 'momentum'", "friction"]),
    ("sghmc", {"thermostat": "global"}, TypeError, ["sghmc got an unknown option 'thermostat'", "options: "]),
    ("sgnht", {"thermostats": "tensor"}, TypeError, ["unknown option 'thermostats'", "did you mean 'thermostat'?"]),
    # SGHMC
    ("sghmc", {"friction": 0.0}, ValueError, ["friction must lie in (0, 1]", "got 0.0", FRICTION]),
    ("sghmc", {"friction": 1.5}, ValueError, ["friction must lie in (0, 1]", "got 1.5", FRICTION]),
    ("sghmc", {"friction": "0.1"}, TypeError, ["friction must be a number", "'0.1' of type str", FRICTION]),
    ("sghmc", {"momentum": 1.0}, ValueError, ["momentum must lie in [0, 1)", "got 1.0",
                                              "momentum=0.9 is friction=0.1"]),
    ("sghmc", {"momentum": -0.1}, ValueError, ["momentum must lie in [0, 1)", "got -0.1",
                                               "momentum=0.9 is friction=0.1"]),
    ("sghmc", {"momentum": 0.9, "friction": 0.1}, ValueError, ["friction=0.1 and momentum=0.9 say the same thing twice",
                                                               "write one of them"]),
    ("sghmc", {"gradient_noise": -1.0}, ValueError, ["gradient_noise must lie in [0, inf)", "got -1.0",
                                                     "variance of a coordinate of grad U"]),
    ("sghmc", {"gradient_noise": "guess"}, ValueError, ["gradient_noise must be a variance, 'estimate' or None",
                                                        "got 'guess'"]),
    ("sghmc", {"gradient_noise": 1e6, "num_data": 100, "learning_rate": 0.1}, ValueError,
     ["gradient_noise=1e+06", "friction=0.1 can carry at learning_rate=0.1", "must not exceed it",
      "write friction=5.5e+02 or more, or learning_rate=1.8e-05 or less"]),
    ("sghmc", {"gradient_noise": 1.0, "temperature": 0.0}, ValueError, ["gradient_noise=1 heats the chain",
                                                                        "must not exceed it"]),
    ("sghmc", {"resample_momentum": 0}, ValueError, ["resample_momentum must be at least 1", "got 0",
                                                     "a number of steps, or None for never"]),
    ("sghmc", {"resample_momentum": 2.5}, ValueError, ["resample_momentum must be a whole number", "got 2.5",
                                                       "a number of steps, or None for never"]),
    ("sghmc", {"resample_momentum": True}, TypeError, ["resample_momentum must be a whole number", "True of type bool",
                                                       "a number of steps, or None for never"]),
    # SGNHT
    ("sgnht", {"friction": 0.5}, ValueError, ["friction must lie in (0, 0.5)", "got 0.5", "write friction=0.1"]),
    ("sgnht", {"friction": 0.0}, ValueError, ["friction must lie in (0, 0.5)", "got 0.0", "write friction=0.1"]),
    ("sgnht", {"friction": None}, TypeError, ["friction must be a number", "None of type NoneType",
                                              "write friction=0.1"]),
    ("sgnht", {"thermostat": "layer"}, ValueError, ["thermostat must be one of 'global', 'tensor', 'element'",
                                                    "got 'layer'"]),
    ("sgnht", {"thermostat": None}, ValueError, ["thermostat must be one of 'global', 'tensor', 'element'",
                                                 "got None"]),
    ("sgnht", {"thermal_mass": 0.0}, ValueError, ["thermal_mass must lie in (0, inf)", "got 0.0",
                                                  "the papers' is 1.0; leave it out for the default"]),
    ("sgnht", {"thermal_mass": "light"}, TypeError, ["thermal_mass must be a number", "'light' of type str",
                                                     "leave it out for the default"]),
    ("sgnht", {"gradient_noise": -3.0}, ValueError, ["gradient_noise must lie in [0, inf)", "got -3.0",
                                                     "variance of a coordinate of grad U"]),
    ("sgnht", {"gradient_noise": "estimate"}, TypeError, ["gradient_noise must be a number", "'estimate' of type str",
                                                          "variance of a coordinate of grad U"]),
]


def _id(case):
    # Without addresses: processes that share the tests between them must agree on their names.
    return f"{case[0]}-" + ",".join(f"{k}={v!r}".split(" at 0x")[0][:40] for k, v in case[1].items())


def assert_says(error, parts):
    """The message has all parts, in this order."""
    message, at = str(error), 0
    for part in parts:
        assert part in message[at:], f"{part!r} is missing, or out of order, in: {message}"
        at = message.index(part, at) + len(part)


@pytest.mark.parametrize("case", BAD, ids=_id)
def test_bad_option(case):
    """At construction, and before any warning."""
    name, options, kind, parts = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind) as error:
            mx.optimizer.create(name, **{"num_data": 1000, **options})
    assert type(error.value) is kind
    assert_says(error.value, parts)


def test_there_are_many():
    assert len(BAD) >= 40 and len({_id(case) for case in BAD}) == len(BAD)


@pytest.mark.parametrize("make, kind, parts", [
    (lambda: priors.Constant(-1.0), ValueError, ["prior must lie in [0, inf)", "got -1.0", HOW]),
    (lambda: priors.Constant("1"), TypeError, ["prior must be a number", "'1' of type str", HOW]),
    (lambda: priors.FanIn(0.0), ValueError, ["scale must lie in (0, inf)", "got 0.0", "variance 2 / fan_in"]),
    (lambda: priors.FanIn("he"), TypeError, ["scale must be a number", "'he' of type str", "FanIn(scale=2.0)"]),
    (lambda: priors.ByName({}), ValueError, ["prior is an empty dictionary", HOW]),
])
def test_bad_prior(make, kind, parts):
    with pytest.raises(kind) as error:
        make()
    assert_says(error.value, parts)


class Odd(priors.Prior):
    def __init__(self, value):
        self.value = value

    def precision(self, names, shape):
        return self.value


def _net():
    net = gluon.nn.Dense(2, in_units=3, prefix="net_")
    net.initialize()
    return net


@pytest.mark.parametrize("value", [-1.0, NAN, INF])
def test_prior_of_the_users_own_that_returns_no_precision(value):
    net = _net()
    trainer = gluon.Trainer(net.collect_params(), "sgld", {"num_data": 10, "prior": Odd(value)})
    with mx.autograd.record():
        loss = net(mx.nd.ones((1, 3))).sum()
    loss.backward()
    with pytest.raises(ValueError) as error:
        trainer.step(1)
    assert_says(error.value, ["prior gives parameter net_bias the precision", repr(value), "1 / variance"])


def test_prior_pattern_that_matches_nothing():
    with pytest.raises(ValueError) as error:
        gluon.Trainer(_net().collect_params(), "sgld", {"num_data": 10, "prior": {"net_wieght": 2.0}})
    assert_says(error.value, ["prior has the pattern 'net_wieght', which matches no parameter",
                              "the parameters are net_bias, net_weight"])


@pytest.mark.parametrize("lr, kind, parts", [
    (-0.1, ValueError, ["learning_rate must lie in [0, inf)", "got -0.1", RATE]),
    (NAN, ValueError, ["learning_rate must lie in [0, inf)", "got nan", RATE]),
    ("0.1", TypeError, ["learning_rate must be a number", "'0.1' of type str", RATE]),
])
def test_bad_set_learning_rate(lr, kind, parts):
    trainer = gluon.Trainer(_net().collect_params(), "sgld", {"num_data": 10})
    with pytest.raises(kind) as error:
        trainer.set_learning_rate(lr)
    assert_says(error.value, parts)
    assert trainer.learning_rate == 0.01


def test_schedule_that_leaves_the_range():
    class Falling(mx.lr_scheduler.LRScheduler):
        def __call__(self, t):
            return 0.1 - 0.06 * t

    net = _net()
    trainer = gluon.Trainer(net.collect_params(), "sgld", {"num_data": 10, "lr_scheduler": Falling(base_lr=0.1)})
    for k in range(2):
        with mx.autograd.record():
            loss = net(mx.nd.ones((1, 3))).sum()
        loss.backward()
        if k == 0:
            trainer.step(1)
    with pytest.raises(ValueError) as error:
        trainer.step(1)
    assert_says(error.value, ["learning_rate is -0.0", "at step 2", "look at the lr_scheduler"])


@pytest.mark.parametrize("cls", [SGLD, SGHMC, SGNHT])
def test_numbers_of_numpy_are_numbers(cls):
    s = cls(learning_rate=np.float32(0.5), num_data=np.int64(7), wd=np.float64(2.0), seed=np.uint64(2 ** 63))
    assert (s.learning_rate, s.num_data, s.wd, s.seed) == (0.5, 7, 2.0, 2 ** 63)


@pytest.mark.parametrize("make", [
    SGLD, SGHMC, SGNHT, lambda: mx.optimizer.create("sghmc"), lambda: gluon.Trainer(_net().collect_params(), "sgnht")])
def test_warnings_point_at_the_users_line(make):
    with pytest.warns(UserWarning, match="without num_data takes N = 1") as caught:
        make()
    assert [w.filename for w in caught if w.category is UserWarning] == [__file__]
