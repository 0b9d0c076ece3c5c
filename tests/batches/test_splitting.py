"""Which entries of a batch are inputs, label and weights: read off the network, or told by a layout."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd
from mxnet.gluon import nn, rnn

import sgmcmc_mx as sg
from sgmcmc_mx.batches.inputs import input_batches
from sgmcmc_mx.batches.labelled import Labelled
from sgmcmc_mx.batches.signature import signature
from sgmcmc_mx.batches.splitting import Splitter

A, B, C, D = (np.full((4, 2), float(i), np.float32) for i in range(4))


class One(gluon.Block):
    def forward(self, x):
        return x


class Two(gluon.Block):
    def forward(self, x, length):
        return x


class Maybe(gluon.Block):
    def forward(self, x, mask=None):
        return x


class Any(gluon.Block):
    def forward(self, *args):
        return args[0]


class Hybrid(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.w = self.params.get("w", shape=(2, 2))

    def hybrid_forward(self, F, x, other, w, scale=None):
        return x


def stack(*blocks, kind=nn.HybridSequential):
    net = kind()
    net.add(*blocks)
    return net


def symbol_block():
    a, b = mx.sym.var("left"), mx.sym.var("right")
    return gluon.SymbolBlock(a + b, [a, b])


@pytest.mark.parametrize("net, shown", [
    (One, "(x)"), (Two, "(x, length)"), (Maybe, "(x, mask=...)"), (Any, "(*)"), (Hybrid, "(x, other, scale=...)"),
    (lambda: nn.Dense(3), "(x)"), (lambda: nn.Dense(3, use_bias=False), "(x)"), (lambda: rnn.LSTM(3), "(inputs)"),
    (lambda: stack(nn.Dense(3), nn.Dense(2)), "(x)"),
    (lambda: stack(Two(), nn.Dense(2), kind=nn.Sequential), "(x, length)"),
    (lambda: stack(rnn.LSTM(3), nn.Dense(2)), "(inputs)"), (lambda: stack(), "(x)"), (symbol_block, "(left, right)"),
    (lambda: nn.BatchNorm(), "(x)"), (lambda: nn.Conv2D(3, 3), "(x)"), (lambda: nn.Embedding(3, 3), "(x)"),
    (lambda: gluon.model_zoo.vision.resnet18_v1(), "(x)"), (lambda: gluon.model_zoo.vision.densenet121(), "(x)"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_a_network_says_what_it_takes(net, shown):
    assert str(signature(net())) == shown


def which(splitter, batch):
    """The inputs, label and weight of a batch as the numbers in them."""
    found = splitter.split(batch)

    def number(tree):
        if isinstance(tree, (list, tuple)):
            return [number(part) for part in tree]
        return None if tree is None else float((tree.asnumpy() if isinstance(tree, nd.NDArray) else tree).flat[0])
    return number(found.inputs), number(found.label), number(found.weight)


def batch_of(data, label):
    return mx.io.DataBatch([nd.array(a) for a in data], [nd.array(a) for a in label], pad=1)


L = sg.BatchLayout
ROWS = [
    # what, network, layout, labelled, batch, inputs, label, weight
    ("an array", One, None, False, A, [0], None, None),
    ("input and label", One, None, False, (A, B), [0], 1, None),
    ("labels are not looked at", One, None, False, (A, B, C), [0], 1, None),
    ("two inputs", Two, None, False, (A, B), [0, 1], None, None),
    ("two inputs and label", Two, None, False, [A, B, C], [0, 1], 2, None),
    ("inputs held together", Two, None, True, ((A, B), C), [0, 1], 2, None),
    ("inputs held together to predict for", Two, None, False, ((A, B), C), [0, 1], 2, None),
    ("inputs held together by themselves", Two, None, False, ([A, B],), [0, 1], None, None),
    ("states first", Two, None, True, ([A, B], C, D), [[0, 1], 2], 3, None),
    ("inputs by name beside a label", Two, None, True, ({"length": B, "x": A}, C), [0, 1], 2, None),
    ("two inputs to train on", Two, None, True, (A, B, C), [0, 1], 2, None),
    ("optional input alone", Maybe, None, False, A, [0], None, None),
    ("optional input left out", Maybe, None, True, (A, B), [0], 1, None),
    ("optional input given", Maybe, None, True, (A, B, C), [0, 1], 2, None),
    ("any number", Any, None, True, (A, B, C), [0, 1], 2, None),
    ("states", Two, None, False, (A, [B, C]), [0, [1, 2]], None, None),
    ("names", Two, None, True, {"x": A, "length": B, "label": C, "weight": D, "id": A}, [0, 1], 2, 3),
    ("names without the optional", Maybe, None, True, {"x": A, "label": C}, [0], 2, None),
    ("names with the optional", Maybe, None, False, {"mask": B, "x": A}, [0, 1], None, None),
    ("an unknown name beside all inputs", Maybe, None, False, {"mask": B, "x": A, "id": C}, [0, 1], None, None),
    ("told: a label that a prediction has no use for", One, L("ids", "y", "w"), False, {"ids": A}, [0], None, None),
    ("told: a label beyond a batch to predict for", One, L(0, 1, 2), False, (A,), [0], None, None),
    ("told: states of a layer of MXNet's", lambda: rnn.LSTM(3), L((0, 1)), False, (A, [B, C]), [0, [1, 2]], None, None),
    ("told by place", One, L(1, 0), True, (A, B), [1], 0, None),
    ("told with a weight", One, L(inputs=0, label=1, weight=2), True, (A, B, C), [0], 1, 2),
    ("told in another order", Two, L((2, 0), 1), True, (A, B, C), [2, 0], 1, None),
    ("told by the network's names", Two, L({"length": 0, "x": 1}, 2), True, (A, B, C), [1, 0], 2, None),
    ("told: the optional one", Maybe, L((0, 1)), False, (A, B), [0, 1], None, None),
    ("told: without the optional one", Maybe, L(0), False, (A, B), [0], None, None),
    ("told by names", One, L("ids", "y"), True, {"ids": A, "y": B, "x": C}, [0], 1, None),
    ("only the label is told", Two, L(label="y"), True, {"x": A, "length": B, "y": C}, [0, 1], 2, None),
    ("only the weight is told", One, L(label=1, weight=2), True, (A, B, C), [0], 1, 2),
    ("a DataBatch", One, None, True, batch_of([A], [B]), [0], 1, None),
    ("a DataBatch of two inputs", Two, None, True, batch_of([A, B], [C]), [0, 1], 2, None),
    ("a DataBatch told by place", One, L(1, 2), True, batch_of([A, B], [C]), [1], 2, None),
]


@pytest.mark.parametrize("net, layout, labelled, batch, inputs, label, weight", [r[1:] for r in ROWS],
                         ids=[r[0] for r in ROWS])
def test_entries_are_told_apart(net, layout, labelled, batch, inputs, label, weight):
    assert which(Splitter(net(), layout, labelled), batch) == (inputs, label, weight)


def test_padding_is_cut_off():
    found = Splitter(One(), labelled=True).split(batch_of([A], [B]))
    assert found.size == 3 and found.inputs[0].shape == found.label.shape == (3, 2)


BAD = [
    ("one of two", Two, None, False, A, ValueError, "needs 2, net(x, length)"),
    ("which is a label", Maybe, None, False, (A, B), ValueError, "nothing says whether entry 1 is an input or a label"),
    ("any number", Any, None, False, (A, B), ValueError, "BatchLayout(inputs=(0, 1)) for inputs"),
    ("a third entry", One, None, True, (A, B, C), TypeError, "1 more follow the label"),
    ("no label", Two, None, True, (A, B), TypeError, "none is left for the label"),
    ("a missing name", Two, None, False, {"x": A, "mask": B}, ValueError, "needs 'length'"),
    ("a name that may be the optional one", Maybe, None, False, {"x": A, "msk": B}, ValueError,
     "BatchLayout(inputs={'x': 'x', 'mask': 'msk'}) to use it"),
    ("the same beside a label", Maybe, None, True, {"x": A, "msk": B, "label": C}, ValueError,
     "whether this is 'mask'"),
    ("the same in an iterator", Maybe, None, True,
     mx.io.DataBatch([nd.array(A), nd.array(B)], [nd.array(C)], pad=0, provide_data=[("msk", None), ("x", None)]),
     ValueError, "whether this is 'mask'"),
    ("entries of a dictionary that is an input", One, None, False, {"ids": A, "mask": B}, ValueError,
     "write {'x': ...} around it"),
    ("no name for the label", One, None, True, {"x": A, "y": B}, ValueError, "BatchLayout(label='y')"),
    ("a place that is not there", One, L(3), False, (A, B), ValueError, "names entry 3, and data gave a batch with the "
     "entries 0, 1"),
    ("an axis that is not there", One, L(batch_axis=2), False, A, ValueError, "should lie along axis 2"),
    ("text", One, None, False, (["a"], B), TypeError, "whose input 'x' is of type"),
    ("a DataBatch of two for one", One, None, True, batch_of([A, B], [C]), ValueError, "a DataBatch of 2 inputs"),
]


@pytest.mark.parametrize("net, layout, labelled, batch, error, message", [r[1:] for r in BAD], ids=[r[0] for r in BAD])
def test_what_cannot_be_told_apart_is_said(net, layout, labelled, batch, error, message):
    with pytest.raises(error) as caught:
        Splitter(net(), layout, labelled).split(batch)
    assert message in str(caught.value)


LAYOUTS = [
    ("too many inputs", One, lambda: L((0, 1)), "2 inputs are given, and the network is called as net(x)"),
    ("too few", Two, lambda: L(0), "1 input is given"),
    ("an unknown name", Two, lambda: L({"x": 0, "mask": 1}), "names an input 'mask'"),
    ("a name too few", Two, lambda: L({"x": 0}), "does not name 'length'"),
]


@pytest.mark.parametrize("net, layout, message", [r[1:] for r in LAYOUTS], ids=[r[0] for r in LAYOUTS])
def test_a_layout_that_does_not_fit_is_refused_at_once(net, layout, message):
    with pytest.raises(ValueError) as caught:
        Splitter(net(), layout())
    assert message in str(caught.value)


@pytest.mark.parametrize("call, error, message", [
    (lambda: L(0, 0), ValueError, "named twice"), (lambda: L(0, "y"), ValueError, "places and names"),
    (lambda: L(()), ValueError, "inputs is empty"), (lambda: L(-1), ValueError, "inputs must be at least 0"),
    (lambda: L(1.5), ValueError, "inputs must be a whole number"), (lambda: L(label=True), TypeError, "label must be"),
    (lambda: L(batch_axis=-1), ValueError, "batch_axis must be at least 0"),
    (lambda: L(batch_axis=()), ValueError, "empty"),
    (lambda: L((0, 1), batch_axis=(0, 1, 1)), ValueError, "3 numbers for 2 inputs"),
    (lambda: Splitter(One(), (0, 1)), TypeError, "layout must be a BatchLayout"),
])
def test_a_wrong_layout_is_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_a_layout_shows_what_it_was_told():
    assert repr(L()) == "BatchLayout()"
    assert repr(L({"x": 1}, 0, batch_axis=1)) == "BatchLayout(inputs={'x': 1}, label=0, batch_axis=1)"


def test_arrays_of_all_examples_are_cut_along_their_own_axes():
    x, length = np.arange(24.0).reshape(2, 6, 2), np.arange(6.0)
    splitter = Splitter(Two(), L(batch_axis=(1, 0)))
    batches = list(input_batches((x, length), 4, splitter))
    assert [b.size for b in batches] == [4, 2]
    np.testing.assert_array_equal(np.concatenate([b.inputs[0] for b in batches], axis=1), x)
    np.testing.assert_array_equal(np.concatenate([b.inputs[1] for b in batches]), length)


@pytest.mark.parametrize("kind", [np.array, nd.array], ids=["NumPy", "MXNet"])
@pytest.mark.parametrize("order", [None, 0], ids=["in order", "shuffled"])
def test_labelled_arrays_stay_together(kind, order):
    x, length, y = np.arange(24.0).reshape(2, 12, 1), np.arange(12.0), np.arange(12.0)
    layout = L((0, 1), 2, 3, batch_axis=(1, 0))
    data = Labelled(Two(), tuple(map(kind, (x, length, y, y + 100))), 5, mx.cpu(), False, "float32",
                    order if order is None else np.random.RandomState(order), layout)
    batches = list(data)
    assert [b.size for b in batches] == [5, 5, 2]
    labels = np.concatenate([b.label.asnumpy() for b in batches])
    assert (sorted(labels) == y).all() and (order is None) == (labels == y).all()
    for b in batches:
        np.testing.assert_array_equal(b.inputs[1].asnumpy(), b.label.asnumpy())
        np.testing.assert_array_equal(b.inputs[0].asnumpy()[0, :, 0], b.label.asnumpy())
        np.testing.assert_array_equal(b.weight.asnumpy(), b.label.asnumpy() + 100)
