"""Loss, batch size and num_data that do not belong together are told at the first steps; those that do are not."""
import re
import warnings

import forks
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx import likelihoods

N, BATCH, OUTPUTS = 210, 30, 16


def network(outputs=OUTPUTS, ctx=None):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, in_units=4, activation="tanh"), gluon.nn.Dense(outputs, in_units=6))
    net.initialize(mx.init.Xavier(), ctx=ctx)
    return net


def batch(k, n=BATCH, outputs=OUTPUTS, classes=None):
    r = np.random.RandomState(k)
    y = r.randint(0, classes, n) if classes else r.normal(size=(n, outputs))
    return nd.array(r.normal(size=(n, 4))), nd.array(y)


def trained(loss_fn=None, given="the loop's", backward=lambda loss: loss, step=BATCH, steps=5, net=None, classes=None,
            n=BATCH, **options):
    """A trainer after some steps, and what it warned of."""
    net = net or network()
    loss_fn = loss_fn or likelihoods.Gaussian()
    given = loss_fn if given == "the loop's" else given
    params = {"learning_rate": 0.01, "num_data": options.pop("num_data", N)}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer = sg.BayesianTrainer(net, "sgld", params, given, seed=0, thin=100, **options)
        for k in range(steps):
            x, y = batch(k, n, net[-1]._units, classes)
            with autograd.record():
                loss = backward(loss_fn(net(x), y))
            loss.backward()
            trainer.step(step(len(x)) if callable(step) else step)
    return trainer, [str(w.message) for w in told if w.category is UserWarning]


def loader():
    return sg.data.ResumableLoader(gluon.data.ArrayDataset(*(a.asnumpy() for a in batch(0, N))), BATCH, seed=0)


def mean(loss):
    return loss.mean()


# ---------------------------------------------------------------- what is told

@pytest.mark.parametrize("given", ["the loop's", None])
@pytest.mark.parametrize("hybridized", [False, True])
def test_a_mean_with_the_batch_size(given, hybridized):
    net, loss_fn = network(), likelihoods.Gaussian()
    if hybridized:
        net.hybridize(static_alloc=True, static_shape=True)
        loss_fn.hybridize()
    told = trained(loss_fn, given, mean, net=net)[1]
    assert len(told) == 1
    assert "mean over the batch of 30, and step(30) divides" in told[0] and "write step(1)" in told[0]


def test_a_sum_with_step_1():
    told = trained(step=1)[1]
    assert len(told) == 1 and "summed loss of 30 examples, and step(1)" in told[0] and "write step(30)" in told[0]


def test_a_loss_of_gluons_is_looked_at_too():
    told = trained(gluon.loss.SoftmaxCELoss(), backward=mean, classes=OUTPUTS)[1]
    assert len(told) == 1 and "mean over the batch of 30" in told[0]


def by_hand(out, y):
    """A function, which has no hooks."""
    return -nd.pick(nd.log_softmax(out), y)


@pytest.mark.parametrize("loss_fn, outputs", [(gluon.loss.SoftmaxCELoss(), 3), (gluon.loss.SoftmaxCELoss(), 2),
                                              (gluon.loss.SigmoidBCELoss(), 1), (by_hand, 3)])
@pytest.mark.parametrize("hybridized", [False, True])
def test_a_loss_that_nobody_hears(loss_fn, outputs, hybridized):
    """Cross entropies are known by the gradient that they leave at the network's output."""
    given = loss_fn if loss_fn is by_hand else None
    for backward, step, said in ((mean, BATCH, "mean over the batch of 30"), (lambda loss: loss, 1, "step(30)"),
                                 (mean, 1, ""), (lambda loss: loss, BATCH, ""),
                                 (lambda loss: loss * nd.array(np.linspace(0.01, 0.06, BATCH)), BATCH, "")):
        net = network(outputs)
        if hybridized:
            net.hybridize(static_alloc=True, static_shape=True)
        told = trained(loss_fn, given, backward, step, net=net, classes=2)[1]
        assert len(told) == bool(said) and said in "".join(told)


@pytest.mark.parametrize("loss_fn, said", [
    (gluon.loss.L2Loss(), "L2Loss averages over the 16 outputs.*Gaussian"),
    (gluon.loss.SigmoidBCELoss(), "SigmoidBinaryCrossEntropyLoss averages over the 16 outputs.*Bernoulli"),
    (gluon.loss.HuberLoss(), r"HuberLoss averages over the 16 outputs.*loss \* 16")])
def test_a_mean_over_outputs(loss_fn, said):
    told = trained(loss_fn)[1]
    assert len(told) == 1 and re.search(said, told[0])


def test_another_object_than_the_trainers_is_looked_at_at_the_output():
    told = trained(gluon.loss.SoftmaxCELoss(), gluon.loss.SoftmaxCELoss(), mean, net=network(3), classes=3)[1]
    assert len(told) == 1 and "mean over the batch of 30" in told[0]
    assert not trained(gluon.loss.SoftmaxCELoss(), gluon.loss.SoftmaxCELoss(), net=network(3), classes=3)[1]


@pytest.mark.parametrize("step, times", [(BATCH, "7 times"), (1, "210 times")])
def test_a_factor_that_the_sampler_has_too(step, times):
    told = trained(backward=lambda loss: loss.mean() * N, step=step)[1]
    assert len(told) == 1 and "multiplied by num_data=210" in told[0] and times in told[0]
    assert not trained(backward=lambda loss: loss.mean() * N, step=N)[1]


@pytest.mark.parametrize("step, said", [(BATCH, "one number for a batch of 30"), (1, "averages over the 16 outputs")])
def test_a_loss_of_one_number(step, said):
    told = trained(gluon.loss.PoissonNLLLoss(), step=step)[1]
    assert said in told[0] and "likelihoods.Poisson()" in told[0]


def test_the_number_of_batches_for_that_of_examples():
    told = trained(data=loader(), num_data=len(loader()), steps=0)[1]
    assert len(told) == 1 and "num_data=7" in told[0] and "write num_data=210" in told[0]
    together = trained(data=[loader(), sg.ControlVariates(network(), likelihoods.Gaussian(), batch(0, N))], num_data=7,
                       steps=0)[1]
    assert len(together) == 1 and "write num_data=210" in together[0]
    alone = trained(num_data=7, steps=2)[1]
    assert len(alone) == 1 and "step(30) is told of more examples than num_data=7" in alone[0]


def test_a_loop_with_another_likelihood():
    told = trained(likelihoods.Gaussian(1.0), likelihoods.Gaussian(0.1))[1]
    assert len(told) == 1
    assert "given Gaussian(sigma=0.1), and the loop calls Gaussian(sigma=1.0)" in told[0]


def test_a_short_run_is_told_when_it_predicts():
    trainer, told = trained(backward=mean, steps=2)
    assert not told
    trainer._keep(trainer._copies())
    with pytest.warns(UserWarning, match="mean over the batch of 30"):
        trainer.predict(np.ones((2, 4), "float32"))


# ---------------------------------------------------------------- what is not

HONEST = {
    "a sum": {},
    "a sum by hand": {"backward": lambda loss: loss.sum()},
    "a mean with step(1)": {"backward": mean, "step": 1},
    "no likelihood given": {"given": None},
    "a loss that nobody hears": {"loss_fn": gluon.loss.L2Loss(), "given": None, "backward": mean, "net": 1},
    "weights": {"backward": lambda loss: loss * nd.array(np.linspace(0.1, 3, BATCH))},
    "one output of L2Loss": {"loss_fn": gluon.loss.L2Loss(), "net": 1},
    "a mean over outputs put right": {"loss_fn": gluon.loss.L2Loss(), "backward": lambda loss: loss * OUTPUTS},
    "its own weight": {"loss_fn": gluon.loss.L2Loss(weight=OUTPUTS)},
    "outputs counted as data": {"loss_fn": gluon.loss.L2Loss(), "data": True, "num_data": N * OUTPUTS},
    "Gluon's classes": {"loss_fn": gluon.loss.SoftmaxCELoss(), "classes": OUTPUTS},
    "the loss itself as U": {"num_data": 1, "step": 1},
    "batches of one": {"n": 1, "step": 1},
    "data": {"data": True},
    "a scale of one's own": {"backward": lambda loss: loss.sum() * N / BATCH, "num_data": 1, "step": 1},
}


@pytest.mark.parametrize("case", HONEST)
@pytest.mark.parametrize("hybridized", [False, True])
def test_honest_loops_get_no_word(case, hybridized):
    options = dict(HONEST[case])
    net = options["net"] = network(options.get("net", OUTPUTS))
    if options.get("data"):
        options["data"] = loader()
    if hybridized:
        net.hybridize()
    trainer, told = trained(**options)
    assert not told
    assert not list(trainer._first_steps.findings(trainer))


def test_a_last_batch_that_is_small_comes_first():
    net, loss_fn, told = network(), likelihoods.Gaussian(), []
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N}, loss_fn, seed=0)
        for k, n in enumerate((1, 2, 30, 30, 30)):
            x, y = batch(k, n)
            with autograd.record():
                loss = loss_fn(net(x), y)
            loss.backward()
            trainer.step(n)
    assert not told


@pytest.mark.parametrize("how", ["sum", "mean"])
@pytest.mark.parametrize("on_kvstore", [False, True])
def test_two_contexts(how, on_kvstore):
    contexts = [mx.cpu(0), mx.cpu(1)]
    net, loss_fn = network(ctx=contexts), likelihoods.Gaussian()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N}, loss_fn, seed=0, update_on_kvstore=on_kvstore)
        for k in range(5):
            parts = [gluon.utils.split_and_load(a, contexts) for a in batch(k)]
            with autograd.record():
                losses = [loss_fn(net(x), y) for x, y in zip(*parts)]
                losses = [loss.mean() for loss in losses] if how == "mean" else losses
            autograd.backward(losses)
            trainer.step(2 if how == "mean" else BATCH)
        assert not list(trainer._first_steps.findings(trainer))


def test_gradients_that_add_up():
    net, loss_fn = network(), likelihoods.Gaussian()
    for p in net.collect_params().values():
        p.grad_req = "add"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N}, loss_fn, seed=0)
        for k in range(5):
            for j in range(3):
                x, y = batch(3 * k + j)
                with autograd.record():
                    loss = loss_fn(net(x), y)
                loss.backward()
            trainer.step(3 * BATCH)
            net.collect_params().zero_grad()


def test_control_variates():
    net, loss_fn = network(), likelihoods.Gaussian()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cv = sg.ControlVariates(net, loss_fn, batch(0, N))
        trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N, "learning_rate": 1e-3}, loss_fn, seed=0, data=cv)
        for k in range(5):
            cv.backward(*batch(k))
            trainer.step(BATCH)
        assert not list(trainer._first_steps.findings(trainer))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("major", ["NTC", "TNC"])
def test_sequences(weighted, major):
    """A loss for each position, and a step for each sequence or for each position."""
    steps, classes = 5, 3
    for size in (4, 4 * steps):
        net = gluon.nn.Sequential()
        net.add(gluon.rnn.LSTM(4, layout=major, input_size=2), gluon.nn.Dense(classes, flatten=False, in_units=4))
        net.initialize()
        loss_fn = likelihoods.Categorical()
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 4000}, loss_fn, seed=0)
            for _ in range(5):
                x = nd.random.normal(shape=(4, steps, 2) if major == "NTC" else (steps, 4, 2))
                with autograd.record():
                    out = net(x).reshape((-1, classes))
                    loss = loss_fn(out, nd.zeros(4 * steps), *[nd.ones(4 * steps)] * weighted)
                loss.backward()
                trainer.step(size)
            assert not list(trainer._first_steps.findings(trainer))


def test_one_sequence_at_a_time_with_time_first():
    net = gluon.nn.Sequential()
    net.add(gluon.rnn.GRU(4, input_size=2), gluon.nn.Dense(3, flatten=False, in_units=4))
    net.initialize()
    loss_fn = likelihoods.Categorical()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 4000}, loss_fn, seed=0)
        for _ in range(5):
            with autograd.record():
                loss = loss_fn(net(nd.ones((7, 1, 2))).reshape((-1, 3)), nd.zeros(7))
            loss.backward()
            trainer.step(1)


AMP = """
import warnings
from mxnet.contrib import amp
amp.init()
import mxnet as mx
from mxnet import autograd, nd
import sgmcmc_mx as sg
from gluon_roads import Affine      # a CPU has no dense layer in float16

for how in ("sum", "mean"):
    for unscaled in (False, True):
        mx.random.seed(0)
        net, loss_fn = Affine("float32"), sg.likelihoods.Categorical()
        net.initialize()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 210, "learning_rate": 0.01}, loss_fn, seed=0,
                                         update_on_kvstore=False)
            amp.init_trainer(trainer)
            for _ in range(6):
                with autograd.record():
                    loss = loss_fn(net(nd.random.normal(shape=(30, 3))), nd.zeros(30))
                    with amp.scale_loss(loss.mean() if how == "mean" else loss, trainer) as scaled:
                        autograd.backward(scaled)
                if unscaled:
                    amp.unscale(trainer)
                trainer.step(30)
        print(how, unscaled, [str(w.message) for w in told if w.category is UserWarning])
"""


def test_a_loss_that_amp_scales():
    """In a process of its own, for AMP changes all of MXNet for good."""
    done = forks.run(AMP)
    assert done.returncode == 0, done.stderr
    summed, summed_unscaled, mean, mean_unscaled = done.stdout.splitlines()
    assert summed == "sum False []" and summed_unscaled == "sum True []"
    assert "mean over the batch of 30" in mean and "mean over the batch of 30" in mean_unscaled


@pytest.mark.parametrize("given", ["the loop's", None])
@pytest.mark.parametrize("hybridized", [False, True])
def test_nothing_of_the_run_changes(given, hybridized):
    """The same bits as of a run that nobody looks at, MXNet's generator included."""
    found = []
    for looks in (True, False):
        mx.random.seed(1)
        net, loss_fn = network(), gluon.loss.SoftmaxCELoss()
        net.add(gluon.nn.Dropout(0.5), gluon.nn.Dense(3, in_units=OUTPUTS))
        net[-1].initialize(mx.init.Xavier())
        if hybridized:
            net.hybridize(static_alloc=True, static_shape=True)
        trainer = sg.BayesianTrainer(net, "sgnht", {"num_data": N}, loss_fn if given else None, seed=0)
        trainer._first_steps._looks *= looks
        for k in range(6):
            x, y = batch(k, classes=3)
            with autograd.record():
                loss = loss_fn(net(x), y)
            loss.backward()
            trainer.step(BATCH)
        assert len(trainer._first_steps._seen) == (2 if looks else 0)
        found.append([loss.asnumpy()] + [p.data().asnumpy() for p in net.collect_params().values()])
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)
