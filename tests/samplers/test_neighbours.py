"""What a sampler tells at its first steps of what it does not move: parts with its own noise, running statistics."""
import warnings
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import pytest
from gluon_roads import own
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

import sgmcmc_mx as sg


def sequential(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    net.initialize(mx.init.Xavier())
    return net


def dense(units=3, prefix=None):
    return nn.Dense(units, in_units=4, prefix=prefix)


def bare(net, seed=0, name="sgld", **more):
    return gluon.Trainer(net.collect_params(), name, {"num_data": 40, "seed": seed, "learning_rate": 1e-3, **more})


def collecting(net, seed=0):
    return sg.BayesianTrainer(net, "sgnht", {"num_data": 40, "learning_rate": 1e-3}, seed=seed, thin=1000)


def loss_of(net, k=0):
    x = nd.random.normal(shape=(8, 4))
    with autograd.record():
        return net(x).square().sum(axis=1)


def told(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return own(caught)


def together(net, trainers, steps=4, order=1):
    def run():
        for _ in range(steps):
            loss_of(net).backward()
            for trainer in trainers[::order]:
                trainer.step(8)
    return told(run)


# ---------------------------------------------------------------- two samplers with one seed

@pytest.mark.parametrize("make", [bare, collecting])
@pytest.mark.parametrize("order", [1, -1])
def test_parts_of_one_network_with_one_seed_are_told(make, order):
    net = sequential(dense(4), dense(2))
    trainers = [make(net[0]), make(net[1])]
    said = together(net, trainers, order=order)
    assert len(said) == 1 and "seed=0 move parts of one model and draw the same noise" in said[0]
    apart = sequential(dense(4), dense(2))
    assert not together(apart, [make(apart[0]), make(apart[1], seed=1)])


def test_parts_of_the_same_shape_are_known_by_their_names():
    net = nn.HybridSequential(prefix="whole_")
    with net.name_scope():
        net.add(dense(4), dense(4))
    net.initialize(mx.init.Xavier())
    said = together(net, [bare(net[0]), bare(net[1])])
    assert len(said) == 1


def test_a_part_that_comes_later_is_told():
    net = sequential(dense(4), dense(2))
    first = bare(net[0])
    assert not together(net, [first], 10)
    assert len(together(net, [first, bare(net[1])], 10)) == 1


def test_a_chain_made_twice_is_meant():
    """One after the other, in turn, and with both gradients formed before both steps."""
    for same_names in (False, True):
        prefixes = ("a_", "b_") if same_names else (None, None)
        nets = [sequential(dense(4, prefixes[0]), dense(2, prefixes[1])) for _ in range(2)]
        trainers = [bare(net) for net in nets]

        def one_by_one(nets=nets, trainers=trainers):
            for net, trainer in zip(nets, trainers):
                for _ in range(4):
                    loss_of(net).backward()
                    trainer.step(8)

        def in_turn(nets=nets, trainers=trainers):
            for _ in range(4):
                for net, trainer in zip(nets, trainers):
                    loss_of(net).backward()
                    trainer.step(8)

        def gradients_first(nets=nets, trainers=trainers):
            for _ in range(4):
                for net in nets:
                    loss_of(net).backward()
                for trainer in trainers:
                    trainer.step(8)
        assert not told(one_by_one) and not told(in_turn) and not told(gradients_first)


def test_other_networks_with_the_same_seed_in_turn():
    nets = [sequential(dense(4)), sequential(dense(2))]
    trainers = [bare(net) for net in nets]
    loss_of(nets[1]).backward()     # a look at its gradient, and no step

    def run():
        for k in range(12):
            for net, trainer in zip(nets, trainers):
                if k > 3 or net is nets[0]:
                    loss_of(net).backward()
                    trainer.step(8)
    assert not told(run)


def test_networks_in_threads_are_chains_of_their_own():
    """Whatever the moment at which one has formed its gradient and another begins to step."""
    nets = [sequential(dense(4)), sequential(dense(2))]
    trainers = [bare(net) for net in nets]

    def run(other):
        for _ in range(5):
            other.submit(lambda: loss_of(nets[1]).backward()).result()
            loss_of(nets[0]).backward()
            trainers[0].step(8)
            other.submit(trainers[1].step, 8).result()
    with ThreadPoolExecutor(1) as pool:
        assert not told(lambda: run(pool))


def test_one_that_is_gone_is_no_neighbour():
    import gc
    net = sequential(dense(4), dense(2))
    trainer = bare(net[0])
    loss_of(net).backward()
    trainer.step(8)
    del trainer
    for p in net[0].collect_params().values():
        p._trainer = None
    gc.collect()
    assert not together(net, [bare(net[1])])


def test_no_noise_no_word():
    net = sequential(dense(4), dense(2))
    assert not together(net, [bare(net[0], temperature=0.0), bare(net[1], temperature=0.0)])


# ---------------------------------------------------------------- statistics of a batch

@pytest.mark.parametrize("layer", [nn.BatchNorm, lambda **kw: nn.BatchNorm(momentum=0.999, **kw)])
def test_batch_statistics_under_a_plain_trainer(layer):
    net = sequential(dense(), layer(in_channels=3))
    said = together(net, [bare(net)], 6)
    assert len(said) == 1 and "running_mean moves while training" in said[0]


def test_statistics_that_stand_still():
    for layer in (nn.BatchNorm(in_channels=3, use_global_stats=True), nn.LayerNorm(in_channels=3)):
        net = sequential(dense(), layer)
        assert not together(net, [bare(net)], 8)


def test_a_bayesian_trainer_tells_it_itself():
    net = sequential(dense(), nn.BatchNorm(in_channels=3))
    assert not together(net, [collecting(net)], 8)


@pytest.mark.parametrize("on_kvstore, use_global_stats, number", [(False, False, 1), (False, True, 0), (True, True, 0)])
def test_on_two_contexts(on_kvstore, use_global_stats, number):
    contexts = [mx.cpu(0), mx.cpu(1)]
    net = sequential(dense(), nn.BatchNorm(in_channels=3, use_global_stats=use_global_stats))
    net.collect_params().reset_ctx(contexts)
    trainer = gluon.Trainer(net.collect_params(), "sgld", {"num_data": 40, "seed": 0, "learning_rate": 1e-3},
                            update_on_kvstore=on_kvstore)

    def run():
        for _ in range(6):
            with autograd.record():
                losses = [net(nd.ones((4, 4), ctx=c)).sum() for c in contexts]
            autograd.backward(losses)
            trainer.step(8)
    assert len(told(run)) == number
