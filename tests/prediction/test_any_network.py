"""Predicting with networks of several inputs and outputs, other axes, and sequences of different length."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn, rnn
from random_chains import Masked, Sequences, by_hand, chain_of, initialised

import sgmcmc_mx as sg
from sgmcmc_mx.store import reading

N = 23


class Heads(gluon.Block):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(3, in_units=5), nn.Dense(2, in_units=5)

    def forward(self, x):
        return self.a(x), self.b(x)


def masked():
    net, rng = initialised(Masked()), np.random.RandomState(0)
    x, mask = nd.array(rng.normal(size=(N, 5))), nd.array(rng.rand(N, 5) < 0.5)
    return net, x, mask, chain_of(net, x, mask)


def words():
    net, rng = initialised(Sequences()), np.random.RandomState(0)
    x, length = nd.array(rng.randint(0, 7, (N, 6))), nd.array(rng.randint(1, 7, N))
    return net, x, length, chain_of(net, x, length)


def loader(*arrays):
    return gluon.data.DataLoader(gluon.data.ArrayDataset(*arrays), 7)


FORMS = {"tuple": lambda x, n: (x, n), "list": lambda x, n: [x, n], "NumPy": lambda x, n: (x.asnumpy(), n.asnumpy()),
         "loader": loader, "loader with labels": lambda x, n: loader(x, n, n), "batches": lambda x, n: [(x, n)],
         "dictionary": lambda x, n: {"length": n, "x": x}, "dictionaries": lambda x, n: [{"x": x, "length": n}],
         "iterator": lambda x, n: mx.io.NDArrayIter({"x": x, "length": n}, None, 7, last_batch_handle="pad")}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_network_of_two_inputs_is_given_both(form):
    net, x, length, chain = words()
    got = sg.predict(net, chain, form(x, length), "softmax", batch_size=10)
    np.testing.assert_allclose(got, by_hand(net, chain, x, length)[0], rtol=1e-5, atol=1e-6)


def test_names_that_mxnet_has_sorted_are_not_taken_by_place():
    net, x, length, chain = words()
    data = mx.io.NDArrayIter({"tokens": x, "count": length}, None, 7)
    with pytest.raises(ValueError, match="MXNet sorts them"):
        sg.predict(net, chain, data, "softmax")
    got = sg.predict(net, chain, data, "softmax", layout=sg.BatchLayout(("tokens", "count")))
    np.testing.assert_allclose(got, by_hand(net, chain, x, length)[0], rtol=1e-5, atol=1e-6)


def test_an_optional_input_is_never_dropped_in_silence():
    net, x, mask, chain = masked()
    right, without = by_hand(net, chain, x, mask)[0], by_hand(net, chain, x)[0]
    assert np.abs(right - without).max() > 0.05     # so that dropping the mask would be seen
    with pytest.raises(ValueError, match="nothing says whether entry 1 is an input or a label"):
        sg.predict(net, chain, loader(x, mask), "softmax")
    with pytest.raises(ValueError, match="they may be its inputs, or batches"):
        sg.predict(net, chain, (x, mask), "softmax")
    for data in (loader(x, mask), (x, mask)):
        got = sg.predict(net, chain, data, "softmax", layout=sg.BatchLayout(inputs=(0, 1)))
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
    got = sg.predict(net, chain, loader(x, mask), "softmax", layout=sg.BatchLayout(inputs=0))
    np.testing.assert_allclose(got, without, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax"), without, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_mask", [True, False])
def test_a_trainer_remembers_how_its_network_was_called(with_mask):
    net, x, mask, _ = masked()
    loss_fn, y = sg.likelihoods.Categorical(), nd.array(np.arange(N) % 3)
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N, "learning_rate": 0.1}, loss_fn, seed=0)
    inputs = (x, mask) if with_mask else (x,)
    for _ in range(3):
        with autograd.record():
            loss = loss_fn(net(*inputs), y)
        loss.backward()
        trainer.step(N)
    right = by_hand(net, trainer.samples, *inputs)[0]
    np.testing.assert_allclose(trainer.predict(loader(x, mask)), right, rtol=1e-5, atol=1e-6)


def test_an_input_of_another_type_is_told_the_weights_own():
    net = initialised(nn.Dense(3, in_units=5))
    net.cast("float64")
    x = nd.random.normal(shape=(N, 5))
    with pytest.raises(ValueError, match=r"write .*x.astype\('float64'\)"):
        sg.predict(net, chain_of(net, x.astype("float64")), x, "softmax")


def test_an_output_is_chosen():
    net, x = initialised(Heads()), nd.random.normal(shape=(N, 5))
    chain = chain_of(net, x)
    with pytest.raises(ValueError, match="returns 2 outputs; prediction needs to know which"):
        sg.predict(net, chain, x, "softmax")
    a, b = (by_hand(net, chain, x, pick=lambda out, i=i: out[i])[0] for i in (0, 1))
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax", output=0), a, rtol=1e-5)
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax", output=-1), b, rtol=1e-5)
    got = sg.predict(net, chain, x, "softmax", output=(1, lambda out: out[0]), batch_size=10)
    np.testing.assert_allclose(got[0], b, rtol=1e-5)
    np.testing.assert_allclose(got[1], a, rtol=1e-5)
    mean, regression = sg.predict(net, chain, x, ("softmax", sg.likelihoods.Gaussian(0.1)), output=(0, 1))
    np.testing.assert_allclose(mean, a, rtol=1e-5)
    assert regression.std.shape == (N, 2)


@pytest.mark.parametrize("output, error, message", [
    (2, ValueError, "returns 2 outputs"), ("a", TypeError, "write output=0"), ((), ValueError, "output is empty"),
    (lambda out: out, ValueError, "returns 2 outputs"), (lambda out: out[0].asnumpy(), TypeError, "NumPy array"),
])
def test_a_wrong_output_is_named(output, error, message):
    net, x = initialised(Heads()), nd.random.normal(shape=(N, 5))
    with pytest.raises(error, match=message):
        sg.predict(net, chain_of(net, x), x, "softmax", output=output)


class Last(gluon.Block):
    """Sequences in layout TNC, and what is said of each at its end, or at every time."""

    def __init__(self, end):
        super().__init__()
        self.lstm, self.out, self.end = rnn.LSTM(4, input_size=3), nn.Dense(2, in_units=4, flatten=False), end

    def forward(self, x):
        h = self.lstm(x)
        return self.out(h[-1] if self.end else h)


@pytest.mark.parametrize("end", [True, False])
def test_examples_may_lie_along_another_axis(end):
    net, x = initialised(Last(end)), nd.random.normal(shape=(50, 8, 3))
    chain = chain_of(net, x)
    right = by_hand(net, chain, x)[0] if end else by_hand(net, chain, x)[0].swapaxes(0, 1)
    for kwargs in ({"batch_axis": 1}, {"layout": sg.BatchLayout(batch_axis=1)}):
        got = sg.predict(net, chain, x, "softmax", batch_size=3, **kwargs)
        assert len(got) == 8
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)


def test_an_axis_that_cannot_be_told_from_the_shape_is_asked_for():
    net, x = initialised(Last(False)), nd.random.normal(shape=(8, 8, 3))
    chain = chain_of(net, x)
    with pytest.raises(ValueError, match="may lie along either axis"):
        sg.predict(net, chain, x, "softmax", batch_axis=1)
    got = sg.predict(net, chain, x, "softmax", layout=sg.BatchLayout(batch_axis=1, output_axis=1))
    np.testing.assert_allclose(got, by_hand(net, chain, x)[0].swapaxes(0, 1), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="write one of them"):
        sg.predict(net, chain, x, "softmax", batch_axis=1, layout=sg.BatchLayout())


class Times(gluon.Block):
    def __init__(self):
        super().__init__()
        self.out = nn.Dense(2, in_units=3, flatten=False)

    def forward(self, x):
        return self.out(x)


@pytest.mark.parametrize("kwargs", [{}, {"samples": True}, {"stats": ("mean", "entropy")}])
def test_batches_of_different_length_come_back_one_by_one(kwargs):
    net = initialised(Times())
    batches = [nd.random.normal(shape=shape) for shape in ((4, 5, 3), (4, 9, 3), (2, 9, 3), (3, 5, 3))]
    chain = chain_of(net, batches[0])
    got = sg.predict(net, chain, batches, "softmax", **kwargs)
    assert isinstance(got, list) and len(got) == 4
    for x, found in zip(batches, got):
        mean, each = by_hand(net, chain, x)
        if "stats" in kwargs:
            assert found["entropy"].shape == x.shape[:2]
            found = found["mean"]
        np.testing.assert_allclose(found, each if "samples" in kwargs else mean, rtol=1e-5, atol=1e-6)


def test_a_regression_of_different_lengths():
    net = initialised(Times())
    batches = [nd.random.normal(shape=shape) for shape in ((4, 5, 3), (2, 9, 3))]
    got = sg.predict(net, chain_of(net, batches[0]), batches, sg.likelihoods.Gaussian(0.1), quantiles=(0.1, 0.9))
    assert [r.mean.shape for r in got] == [(4, 5, 2), (2, 9, 2)]
    assert [r.quantiles.shape for r in got] == [(2, 4, 5, 2), (2, 2, 9, 2)]


def test_a_folder_is_read_once_whatever_the_size_of_the_data(tmp_path, monkeypatch):
    net, rng = initialised(nn.Dense(3, in_units=5)), np.random.RandomState(0)
    x = rng.normal(size=(400, 5)).astype(np.float32)
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 400, "learning_rate": 0.1}, sg.likelihoods.Categorical(),
                                 seed=0, store=tmp_path / "run")
    for _ in range(5):
        with autograd.record():
            loss = trainer.likelihood(net(nd.array(x)), nd.zeros(400))
        loss.backward()
        trainer.step(400)
    trainer.close()
    monkeypatch.setattr("sgmcmc_mx.prediction.chunks.CHUNK_BYTES", 1000)
    reads = []
    real = reading.files.read_within

    def counting(folder, name, *rest):
        reads.extend([name] if name.startswith("sample-") else [])
        return real(folder, name, *rest)

    monkeypatch.setattr(reading.files, "read_within", counting)
    for data in (x, [x[i:i + 10] for i in range(0, 400, 10)]):
        for kwargs in ({}, {"stats": ("mean", "quantiles"), "quantiles": (0.5,)}):
            samples = sg.load(tmp_path / "run")
            reads.clear()
            sg.predict(net, samples, data, "softmax", batch_size=10, **kwargs)
            assert len(reads) == 5


class First(gluon.Block):
    """A network around another, as the error about several outputs advises."""

    def __init__(self, inner, own=False):
        super().__init__()
        self.inner = inner
        if own:
            self.scale = self.params.get("scale", shape=(1,), init="ones")

    def forward(self, x):
        return self.inner(x)[0]


def test_a_network_around_the_one_that_was_sampled():
    net, x = initialised(Heads()), nd.random.normal(shape=(N, 5))
    chain = chain_of(net, x)
    right = by_hand(net, chain, x, pick=lambda out: out[0])[0]
    np.testing.assert_allclose(sg.predict(First(net), chain, x, "softmax"), right, rtol=1e-5)
    np.testing.assert_allclose(sg.predict(First(First(net)).inner, chain, x, "softmax"), right, rtol=1e-5)
    around = First(net, own=True)
    around.initialize()
    with pytest.raises(ValueError, match="samples and network differ in scale"):
        sg.predict(around, chain, x, "softmax")
    with pytest.raises(ValueError, match="samples and network differ in"):
        sg.predict(net.a, chain, x, "softmax")


def test_a_folder_keeps_the_outputs_on_several_inputs(tmp_path):
    net, x, length, _ = words()
    loss_fn, y = sg.likelihoods.Categorical(), nd.array(np.arange(N) % 3)
    trainers = [sg.BayesianTrainer(net, "sgld", {"num_data": N, "learning_rate": 0.1}, loss_fn, seed=0,
                                   store=None if inputs is None else sg.FolderStore(tmp_path / "run", inputs=inputs))
                for inputs in (None, (x[:9], length[:9]))]
    for trainer in trainers:        # one after the other, from the same weights
        own = {n: p.data().copy() for n, p in net._collect_params_with_prefix().items()}
        for _ in range(3):
            with autograd.record():
                loss = loss_fn(net(x, length), y)
            loss.backward()
            trainer.step(N)
        if trainer is trainers[0]:
            right = trainer.predict((x[:9], length[:9]))
            for n, p in net._collect_params_with_prefix().items():
                p.set_data(own[n])
    trainers[1].close()
    stored = sg.load(tmp_path / "run")
    assert [a.shape for a in stored.inputs] == [(9, 6), (9,)]
    np.testing.assert_allclose(sg.predict(net, stored, (x[:9], length[:9]), "softmax"), right, rtol=1e-6)
    np.testing.assert_allclose(sg.predict(net, sg.join([stored, stored]), stored.inputs, "softmax"), right, rtol=1e-6)
    with pytest.raises(ValueError, match="must be the inputs that the store was made with"):
        sg.predict(net, stored, (x[:9], length[:9] + 1), "softmax")


def test_quantiles_of_one_number_with_time_first():
    net, x = initialised(Last(True)), nd.random.normal(shape=(7, 8, 3))
    got = sg.predict(net, chain_of(net, x), x, sg.likelihoods.Gaussian(0.1), quantiles=(0.5,), batch_axis=1,
                     output=lambda out: out[:, :1])
    assert got.mean.shape == (8, 1) and got.quantiles.shape == (1, 8, 1)
