"""Dive into Deep Learning's loops, on mx.np arrays: the sampler's name in place of the optimizer's."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from foreign import digits, needs
from mxnet import gluon, npx

import sgmcmc_mx as sg

pytestmark = needs("d2l")
N, BATCH = 400, 200     # large minibatches, for the errors of small ones cancel over an epoch (docs/limits.md)


@pytest.fixture
def d2l():
    """The book's package, which calls set_np() when it is imported; elsewhere arrays are classic again."""
    from d2l import mxnet as book
    npx.set_np()
    yield book
    npx.reset_np()


def regression(d2l, batch=BATCH):
    """Noise of deviation 1, which is what the book's squared loss means."""
    w = mx.np.array([0.5, -0.3])
    data = d2l.SyntheticRegressionData(w, b=0.2, noise=1.0, num_train=N, num_val=batch, batch_size=batch)
    return data, data.X[:N].asnumpy().astype(np.float64), data.y[:N].asnumpy().astype(np.float64)[:, 0]


def quiet(model):
    """The book's model without its animation."""
    model.board.display = False
    return model


def posterior(x, y):
    """Mean and standard deviation of weights and bias, exact: noise 1, prior N(0, 1)."""
    design = np.c_[x, np.ones(len(x))]
    covariance = np.linalg.inv(design.T @ design + np.eye(design.shape[1]))
    return covariance @ design.T @ y, np.sqrt(np.diag(covariance))


def test_its_trainer_and_its_model_sample_the_exact_posterior(d2l):
    """d2l.Trainer takes the mean of the losses and step(1), which is the same gradient."""
    data, x, y = regression(d2l)

    class Model(d2l.LinearRegression):
        def configure_optimizers(self):
            options = {"learning_rate": self.lr, "num_data": N, "friction": 0.4, "integrator": "aboba"}
            self.chain = sg.BayesianTrainer(self, "sgnht", options, seed=0, burn_in=100, thin=10)
            return self.chain

    model = quiet(Model(lr=0.05))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        d2l.Trainer(max_epochs=1300).fit(model, data)
    mean, sd = posterior(x, y)
    draws = np.array([np.r_[s["net.weight"].asnumpy()[0], s["net.bias"].asnumpy()] for s in model.chain.samples])
    assert draws.shape == (250, 3)
    # The chain forgets in friction / learning_rate = 8 steps, so that of draws ten steps apart half are independent.
    n = 125
    assert (np.abs(draws.mean(axis=0) - mean) * np.sqrt(n) / sd).max() < 5
    assert (np.abs(draws.std(axis=0) / sd - 1.0)).max() < 5 / np.sqrt(2 * n)


def test_one_changed_word_in_its_function(d2l, monkeypatch, capsys):
    """The book's train_concise_ch11 makes the trainer itself, from a name and a dictionary."""
    from matplotlib import pyplot as plt
    data, x, y = regression(d2l, batch=80)
    nets, dense = [], d2l.nn.Dense
    monkeypatch.setattr(d2l.nn, "Dense", lambda *a, **k: nets.append(dense(*a, **k)) or nets[-1])
    for word, options in (("sgd", {"learning_rate": 0.05}), ("sgnht", {"learning_rate": 0.05, "num_data": N})):
        d2l.train_concise_ch11(word, options, data.get_dataloader(True), 20)
    plt.close("all")
    losses = [float(line.split()[1][:-1]) for line in capsys.readouterr().out.splitlines() if "loss:" in line]
    assert len(losses) == len(nets) == 2
    mean, sd = posterior(x, y)
    ends = [np.r_[net.weight.data().asnumpy()[0], net.bias.data().asnumpy()] for net in nets]
    assert (np.abs(ends[0] - mean) < 2 * sd).all()              # SGD is near the mode,
    assert (np.abs(ends[1] - mean) < 5 * sd).all()              # the chain within the posterior,
    assert np.abs(ends[1] - ends[0]).max() > 0.01               # and somewhere else in it
    assert abs(losses[1] - losses[0]) < 0.05


def test_the_word_alone_is_told_what_it_lacks(d2l):
    data, _, _ = regression(d2l)

    class Model(d2l.LinearRegression):
        def configure_optimizers(self):
            return gluon.Trainer(self.collect_params(), "sgnht", {"learning_rate": self.lr})

    model = quiet(Model(lr=0.05))
    with pytest.warns(UserWarning, match="sgnht without num_data takes N = 1.*write num_data=len") as told:
        d2l.Trainer(max_epochs=2).fit(model, data)
    assert sum("num_data" in str(w.message) for w in told) == 1
    assert np.isfinite(model.net.weight.data().asnumpy()).all()


def test_its_classifier_on_digits_is_averaged(d2l):
    """The book's softmax regression, with a data module of one's own."""
    x, y = digits()
    held = slice(600, None)

    class Digits(d2l.DataModule):
        def __init__(self):
            super().__init__()
            self.batch_size = 60

        def get_dataloader(self, train):
            return self.get_tensorloader((mx.np.array(x), mx.np.array(y)), train,
                                         slice(0, 600) if train else slice(600, 1200))

    class Sampled(d2l.SoftmaxRegression):
        def configure_optimizers(self):
            self.chain = sg.BayesianTrainer(self, "sgnht", {"learning_rate": 0.05, "num_data": 600}, seed=0,
                                            burn_in=300, thin=10)
            return self.chain

    models = [quiet(cls(num_outputs=10, lr=0.5)) for cls in (d2l.SoftmaxRegression, Sampled)]
    for model in models:
        d2l.Trainer(max_epochs=60).fit(model, Digits())
    alone = npx.softmax(models[0](mx.np.array(x[held]))).asnumpy()
    chain = models[1].chain
    probs = chain.predict(x[held], "softmax")
    assert len(chain.samples) == 30 and chain.samples[0]["net.weight"].shape == (10, 64)
    each = [sg.metrics.nll(p, y[held]) for p in chain.predict(x[held], "softmax", samples=True)]
    assert sg.metrics.nll(probs, y[held]) < np.mean(each) - 0.005
    found, plain = sg.metrics.accuracy(probs, y[held]), sg.metrics.accuracy(alone, y[held])
    assert found > 0.85 and abs(found - plain) < 0.05
