"""MXNet's older road: sentences of different length in a BucketingModule, and samples of a Module averaged."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from roads import assert_close

import sgmcmc_mx as sg

VOCABULARY, EMBEDDED, HIDDEN, BATCH, SENTENCES = 6, 3, 4, 4, 32
BUCKETS = [4, 7]
OPTIONS = {"learning_rate": 0.05, "num_data": SENTENCES, "seed": 3, "wd": 2.0}
_rng = np.random.RandomState(1)
# A word is followed by the next one, or by itself. Shorter sentences are padded to their bucket, with the label -1.
TEXT = [list(np.cumsum(np.r_[_rng.randint(VOCABULARY), _rng.rand(length - 1) < 0.8].astype(int)) % VOCABULARY)
        for length in _rng.randint(3, 8, SENTENCES)]


def unrolled(length):
    """The network for sentences of one length, as the users of mx.rnn write it."""
    words = mx.sym.Embedding(mx.sym.Variable("data"), input_dim=VOCABULARY, output_dim=EMBEDDED, name="embed")
    outputs, _ = mx.rnn.LSTMCell(HIDDEN, prefix="lstm_").unroll(length, inputs=words, merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-1, HIDDEN)), num_hidden=VOCABULARY, name="next")
    label = mx.sym.reshape(mx.sym.Variable("softmax_label"), shape=(-1,))
    return mx.sym.SoftmaxOutput(scores, label, name="softmax", use_ignore=True, ignore_label=-1), ("data",), (
        "softmax_label",)


class Twin(gluon.Block):
    """The same network in Gluon, for any length."""

    def __init__(self):
        super().__init__(prefix="")
        with self.name_scope():
            self.embed = gluon.nn.Embedding(VOCABULARY, EMBEDDED, prefix="embed_")
            self.lstm = gluon.rnn.LSTMCell(HIDDEN, input_size=EMBEDDED, prefix="lstm_")
            self.next = gluon.nn.Dense(VOCABULARY, flatten=False, in_units=HIDDEN, prefix="next_")

    def forward(self, words):
        outputs, _ = self.lstm.unroll(words.shape[1], self.embed(words), merge_outputs=True)
        return self.next(outputs)


def twin():
    """The Gluon network, its parameters by the symbol's names and in its order, and numbers to start from."""
    net = Twin()
    net.initialize()
    params = net.collect_params()
    rng = np.random.RandomState(2)
    order = [name for name in unrolled(BUCKETS[-1])[0].list_arguments() if name in params]
    for name in order:
        params[name].set_data(mx.nd.array(0.5 * rng.randn(*params[name].shape)))
    return net, [params[name] for name in order]


@pytest.mark.parametrize("sampler", ["sgld", "sgnht"])
def test_sentences_in_buckets_are_one_chain(sampler, capsys):
    """A sentence counts whole, whichever bucket it is in, and what is padded counts nothing: as Gluon has it."""
    net, params = twin()
    module = mx.mod.BucketingModule(unrolled, default_bucket_key=BUCKETS[-1])
    batches = []
    module.fit(mx.rnn.BucketSentenceIter(TEXT, BATCH, buckets=BUCKETS, invalid_label=-1), num_epoch=2,
               optimizer=sampler, optimizer_params=OPTIONS, eval_metric=mx.metric.Perplexity(-1),
               arg_params={p.name: p.data().copy() for p in params},
               batch_end_callback=lambda at: batches.append(at.locals["data_batch"]))
    assert sorted({batch.bucket_key for batch in batches}) == BUCKETS
    trainer, loss = gluon.Trainer(params, sampler, OPTIONS), sg.likelihoods.Categorical(ignore_label=-1)
    for batch in batches:
        with autograd.record():
            out = loss(net(batch.data[0]), batch.label[0])
        out.backward()
        trainer.step(BATCH)
    found = module.get_params()[0]
    assert_close([found[p.name].asnumpy() for p in params], [p.data().asnumpy() for p in params], 1e-4, 1e-5)
    assert trainer.optimizer.num_update == len(batches)


def test_samples_of_a_module_are_averaged_through_a_symbol_block():
    """Module keeps no samples: a callback does, and sg.predict takes them with the symbol as a network."""
    rng = np.random.RandomState(4)
    x = rng.randn(200, 2).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.float32)
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="hidden")
    scores = mx.sym.FullyConnected(mx.sym.tanh(hidden), num_hidden=2, name="scores")
    module, samples = mx.mod.Module(mx.sym.SoftmaxOutput(scores, name="softmax")), []

    def keep(at):
        if at.epoch >= 5:
            # a copy, for the module hands out the arrays that it goes on with
            samples.append({name: array.copy() for name, array in module.get_params()[0].items()})

    module.fit(mx.io.NDArrayIter(x, y, batch_size=20), num_epoch=25, optimizer="sgnht", batch_end_callback=keep,
               optimizer_params={"learning_rate": 0.1, "num_data": len(x), "seed": 0})
    assert len(samples) == 200 and len({s["scores_bias"].asnumpy().tobytes() for s in samples}) == 200
    net = gluon.SymbolBlock(scores, mx.sym.Variable("data"))
    net.initialize()
    probs = sg.predict(net, sg.MemoryStore(sg.Sample(s, k) for k, s in enumerate(samples)), x, "softmax")

    def softmax(s):
        h = np.tanh(x @ s["hidden_weight"].asnumpy().T + s["hidden_bias"].asnumpy())
        z = h @ s["scores_weight"].asnumpy().T + s["scores_bias"].asnumpy()
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(probs, np.mean([softmax(s) for s in samples], axis=0), rtol=1e-4, atol=1e-6)
    assert sg.metrics.accuracy(probs, y) > 0.95
