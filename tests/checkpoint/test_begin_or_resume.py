"""One call for a run that is there and for one that is not."""
import contextlib
import shutil

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, lr_scheduler
from runs import SETTINGS, STEPS, X, Y, assert_equal, begun_or_resumed, give_up, go, loader, network, options, outcome

import sgmcmc_mx as sg
from sgmcmc_mx.checkpoint import content


def run(folder, upto, sampler="sgnht", params=(), **kwargs):
    mx.random.seed(1)
    net, data = network(), loader()
    tr = begun_or_resumed(net, sampler, dict(params), folder, data, **kwargs)
    go(net, tr, data, upto)
    return net, tr


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    net, tr = run(tmp_path_factory.mktemp("whole") / "run", STEPS)
    found = outcome(net, tr)
    tr.close()
    return found


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half") / "run"
    give_up(run(folder, 13)[1])
    return folder


def test_the_same_call_again_and_again(tmp_path, whole):
    for upto in (2, 9, 13, STEPS):
        net, tr = run(tmp_path / "run", upto)
        found = outcome(net, tr) if upto == STEPS else None
        give_up(tr)
    assert_equal(found, whole)


@pytest.mark.parametrize("lines, samples", [(1, 0), (1, 2), (2, 2), (0, 0)])
def test_a_run_that_went_down_before_its_first_checkpoint(tmp_path, half, whole, lines, samples):
    """The manifest is there, and perhaps samples; or nothing but the lock."""
    folder = shutil.copytree(half, tmp_path / "run")
    for path in folder.glob("checkpoint-*"):
        path.unlink()
    for path in sorted(folder.glob("sample-*"))[samples:]:
        path.unlink()
    path = folder / "manifest.jsonl"
    if lines:
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))
        with pytest.raises(sg.CheckpointError, match=r"no checkpoint yet.*begin_or_resume\(..., store="):
            sg.BayesianTrainer.resume(folder, network(), data=loader())
    else:
        path.unlink()
    net, tr = run(folder, STEPS)
    assert_equal(outcome(net, tr), whole)
    tr.close()
    assert not [e for e in sg.load(folder).events if e["kind"] == "differs"]


@pytest.mark.parametrize("between", [(), (lambda: gluon.nn.Dropout(0.4),)], ids=["plain", "dropout"])
def test_a_run_that_went_down_before_its_first_step(tmp_path, between):
    """Where it may have to go back to its start there is a checkpoint of that."""
    found = []
    for name, ends in (("whole", [STEPS]), ("parts", [0, 1, STEPS])):
        for upto in ends:
            net, data = network(between=between), loader()
            tr = begun_or_resumed(net, "sgnht", {}, tmp_path / name, data, max_temperature=50.0, on_divergence="halve")
            go(net, tr, data, upto)
            tr.samples.flush()
            last = outcome(net, tr) if upto == STEPS else None
            give_up(tr)
        found.append(last)
    assert_equal(*found)
    assert [e["step"] for e in sg.load(tmp_path / "parts").events if e["kind"] == "resumed"] == [0, 1]


@pytest.mark.parametrize("change, said", [
    ({"thin": 5}, "thin=5 is given, and the run in .* was begun with thin=4; write that, or another folder"),
    ({"params": {"temperature": 0.5}}, "temperature=0.5 is given, .*=None"),
    ({"params": {"learning_rate": 0.1}}, "learning_rate=0.1 is given, .* learning_rate=0.05"),
    ({"sampler": "sgld"}, "sampler='sgld' is given, .* sampler='sgnht'"),
    ({"store_options": {"keep_last": 3}}, "keep_last=3 is given, .* keep_last=None"),
    ({"store_options": {"inputs": X}}, "inputs of store_options are not those of the run"),
    ({"on_divergence": "halve"}, "on_divergence='halve' is given"),
    ({"max_temperature": 3.0}, "max_temperature=3.0 is given, .* max_temperature=None"),
])
def test_another_run_is_refused(half, change, said):
    with pytest.raises(ValueError, match=said):
        run(half, 1, **change)


def test_a_limit_that_an_earlier_version_did_not_know(tmp_path, monkeypatch):
    """It would be left out without a word."""
    with monkeypatch.context() as m:
        m.setattr(content, "SETTINGS", [name for name in content.SETTINGS if name != "max_temperature"])
        run(tmp_path / "run", 9)[1].close()
    with pytest.raises(ValueError, match="max_temperature=3.0 is given, .* was begun with max_temperature=None"):
        run(tmp_path / "run", 13, max_temperature=3.0)
    tr = run(tmp_path / "run", 13)[1]
    assert tr.num_steps == 13 and tr.max_temperature is None
    tr.close()


def test_options_of_the_store(tmp_path):
    for upto in (9, STEPS):
        net, tr = run(tmp_path / "run", upto, store_options={"keep_last": 2, "inputs": X[:3]})
        tr.close()
    assert len(tr.samples) == 2 and tr.samples[0]["output"].shape == (3, 3)
    with pytest.raises(ValueError, match="inputs of store_options are not those"):
        run(tmp_path / "run", STEPS, store_options={"keep_last": 2, "inputs": X[1:4]})
    for wrong in ({"keep": 2}, 3):
        with pytest.raises(TypeError, match="store_options must be a dictionary with some of dtype, inputs, keep_last"):
            run(tmp_path / "run", STEPS, store_options=wrong)
    with contextlib.closing(sg.FolderStore(tmp_path / "other")) as store:
        with pytest.raises(TypeError, match="store must be the path of a folder.*store_options="):
            run(store, 3)
    with pytest.raises(TypeError, match="store must be the path of a folder, got 3; write store='runs/a'"):
        run(3, 3)


class Ours(lr_scheduler.LRScheduler):
    """A class that a checkpoint cannot hold."""

    def __call__(self, num_update):
        return 0.05 / (1 + 0.1 * num_update)


class Prior(sg.priors.Prior):
    """Another."""

    def precision(self, names, shape):
        return 2.0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_objects_of_ones_own_are_there_already(tmp_path):
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    for upto in (9, 14):
        net, data = network(), loader()
        params = options(lr_scheduler=Ours(0.05), prior=Prior(), learning_rate=None)
        tr = sg.BayesianTrainer.begin_or_resume(net, "sgld", params, loss, seed=3, store=tmp_path / "run", data=data,
                                                **SETTINGS)
        assert tr.likelihood is loss
        go(net, tr, data, upto)
        tr.close()
    assert [s.step for s in tr.samples] == [7, 11] and tr.samples[1].potential > 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_optimizer_that_was_made(tmp_path):
    for upto in (9, 14):
        net, data = network(), loader()
        made = sg.SGLD(seed=11, **options())
        tr = sg.BayesianTrainer.begin_or_resume(net, made, None, sg.likelihoods.Categorical(),
                                                store=str(tmp_path / "run"), data=data, **SETTINGS)
        go(net, tr, data, upto)
        tr.close()
    with pytest.raises(ValueError, match="sampler='sghmc' is given"):
        sg.BayesianTrainer.begin_or_resume(network(), sg.SGHMC(seed=11, **options()), store=tmp_path / "run",
                                           data=loader(), **SETTINGS)


def test_what_cannot_be_begun_holds_no_folder(tmp_path):
    with pytest.raises(ValueError, match="learning_rate"):
        run(tmp_path / "run", 1, params={"learning_rate": -1})
    run(tmp_path / "run", 1)[1].close()


def test_damage_is_told_and_not_begun_over(tmp_path, half):
    folder = shutil.copytree(half, tmp_path / "run")
    for path in folder.glob("checkpoint-*.json"):
        path.write_bytes(b"{}")
    with pytest.raises(sg.CheckpointError, match="is damaged"):
        run(folder, 1)


def test_chains_that_see_all_data(tmp_path):
    def chain(**more):
        return sg.HMC.begin_or_resume(network(), sg.likelihoods.Categorical(), (X, Y), num_leapfrog=3, step_size=0.02,
                                      seed=3, store=tmp_path / "run", **more)
    c = chain()
    assert c.num_steps == 0
    c.run(4)
    whole = [s.potential for s in c.samples]
    c.close()
    again = chain()
    assert again.num_steps == 4 and again.finish().num_steps == 4
    assert [s.potential for s in again.samples] == whole
    again.close()
    for change, said in (({"temperature": 0.5}, "temperature=0.5 is given, .*temperature=1.0"),
                         ({"store_options": {"dtype": "float16"}}, "dtype='float16' is given")):
        with pytest.raises(ValueError, match=said):
            chain(**change)
    np.testing.assert_array_equal(again.predict(X), c.predict(X))
