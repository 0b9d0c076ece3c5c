"""Networks of several inputs; samples of weights at random, where no chain has to be right; averages by hand."""
import mxnet as mx
import numpy as np
from mxnet import gluon, nd
from mxnet.gluon import nn, rnn

import sgmcmc_mx as sg


class Masked(gluon.Block):
    """Classes of what a mask leaves."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Dense(3, in_units=5)

    def forward(self, x, mask=None):
        return self.layer(x if mask is None else x * mask)


class Sequences(gluon.Block):
    """Classes of sequences of words, and how many of the words count."""

    def __init__(self):
        super().__init__()
        self.words, self.lstm = nn.Embedding(7, 4), rnn.LSTM(5, layout="NTC", input_size=4)
        self.out = nn.Dense(3, in_units=5)

    def forward(self, x, length):
        h = self.lstm(self.words(x))
        mask = nd.arange(x.shape[1]).expand_dims(0) < length.expand_dims(1)
        return self.out((h * mask.expand_dims(2)).sum(axis=1) / length.expand_dims(1))


def initialised(net):
    net.initialize(mx.init.Normal(0.5))
    return net


def chain_of(net, *inputs, samples=4):
    """Samples of a network's weights at random; no chain has to be right for this."""
    net(*inputs)
    named, taken = net._collect_params_with_prefix(), sg.MemoryStore()
    rng = np.random.RandomState(1)
    for step in range(samples):
        taken.append(sg.Sample({n: nd.array(rng.normal(size=p.shape)) for n, p in named.items()}, step, 1.0 + step))
    return taken


def by_hand(net, chain, *inputs, pick=lambda out: out, activation=lambda a: nd.softmax(a, axis=-1)):
    """The average as one would write it in a loop; also every sample's prediction."""
    params, own = net._collect_params_with_prefix(), {}
    each = []
    for sample in chain:
        for name, p in params.items():
            own.setdefault(name, p.data().copy())
            p.set_data(sample[name])
        each.append(activation(pick(net(*inputs))).asnumpy())
    for name, p in params.items():
        p.set_data(own[name])
    return np.tensordot(chain.weights, np.stack(each), axes=1), np.stack(each)
