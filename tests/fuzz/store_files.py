"""Readers of what a store writes: manifest, samples, checkpoints; as they are, and with checksums made to fit again.

A stranger who wants to do harm writes checksums that fit, so most readers here mend those of the damaged file first.
"""
import atexit
import functools
import hashlib
import json
import random
import shutil
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.store import arrays, checkpoints

WEIRD = (None, True, -1, 0, 2 ** 70, 10 ** 400, 1e308, -0.5, "", "a0", "9", "write", "builtins.eval", "os.system",
         "\ud800", [], [[]], [1, 2], {}, {"tuple": 3}, {"dict": [[[], 1]]}, {"set": [[]]}, {"float": "x"},
         {"pattern": "((("}, {"pattern": "(a{99999999999})"}, {"array": "a0"}, {"numpy": "a1"}, {"array": "?"},
         {"same": 0}, {"same": []}, {"ask": "optimizer", "class": 3}, {"ask": []}, {"object": 0},
         {"object": 1, "class": "os.system", "state": {"dict": []}},
         {"object": 7, "class": "mxnet.lr_scheduler.FactorScheduler", "state": {"dict": []}},
         {"object": 8, "class": "sgmcmc_mx.samplers.sgnht.Common", "state": {"dict": [["alpha", {"array": "a0"}]]}})


def network(units=3):
    net = gluon.nn.Dense(units, in_units=2)
    net.initialize()
    return net


@functools.lru_cache
def run() -> Path:
    """The folder of a short run."""
    folder = Path(tempfile.mkdtemp(prefix="fuzzed-run-"))
    atexit.register(shutil.rmtree, folder, True)
    net = network()
    net.weight.grad_req = "null"    # and is in fixed.params
    loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(np.ones((6, 2), "float32"), np.arange(6) % 3), 3, seed=1)
    params = {"num_data": 6, "prior": sg.priors.Gamma(every=2), "learning_rate": 0.01}
    with sg.BayesianTrainer(net, "sgnht", params, sg.likelihoods.Categorical(), seed=0, data=loader, thin=2,
                            store=sg.FolderStore(folder / "run", signals=False)) as trainer:
        while loader.epoch < 2:
            for x, y in loader:
                with autograd.record():
                    loss = trainer.likelihood(net(x), y)
                loss.backward()
                trainer.step(len(x))
    return folder / "run"


def file(pattern) -> Path:
    return sorted(run().glob(pattern))[-1]


class Copy:
    """A copy of the run in which one file is another."""

    def __init__(self, pattern, blob):
        self.name, self.blob = file(pattern).name, blob

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="fuzzed-"))
        for path in run().iterdir():
            if path.name != self.name:
                (self.folder / path.name).write_bytes(path.read_bytes())
        (self.folder / self.name).write_bytes(self.blob)
        return self.folder

    def __exit__(self, *exception):
        shutil.rmtree(self.folder)


def look(folder) -> None:
    """All that can be read of the samples."""
    found = sg.load(folder)
    if not np.isfinite(found.weights.sum()):
        raise ArithmeticError("the weights do not add up")
    repr(found)
    for sample in found:
        {name: a.asnumpy() for name, a in sample.items()}
        repr((sample.potential, sample.temperature, sample.friction, sample.hyper, sample.step))


def resume(folder) -> None:
    net = network()
    net.weight.grad_req = "null"
    before = [p.data().asnumpy() for p in net.collect_params().values()]
    loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(np.ones((6, 2), "float32"), np.arange(6) % 3), 3, seed=1)
    try:
        sg.BayesianTrainer.resume(folder, net, data=loader, ctx=None).close()
    except Exception as e:
        if any(not np.array_equal(p.data().asnumpy(), b) for p, b in zip(net.collect_params().values(), before)):
            raise RuntimeError(f"the weights are others after {e}") from e
        raise


# ---------------------------------------------------------------- the readers

def read_manifest(blob: bytes) -> None:
    with Copy("manifest.jsonl", blob) as folder:
        look(folder)


def read_manifest_that_fits(blob: bytes) -> None:
    read_manifest(b"".join(map(_fitting, blob.splitlines(keepends=True))))


def _fitting(line: bytes) -> bytes:
    text, separator, _ = line.rpartition(b', "crc": ')
    return text + separator + str(zlib.crc32(text + b"}")).encode() + b"}\n" if separator else line


def read_manifest_of_weird_values(blob: bytes) -> None:
    rng, lines = random.Random(blob), file("manifest.jsonl").read_bytes().splitlines()
    made = []
    for line in lines:
        content = json.loads(line)
        content.pop("crc")
        if blob and rng.random() < 0.4:
            content = _weird(content, rng)
        text = json.dumps(content).encode()
        made.append(text[:-1] + b', "crc": %d}\n' % zlib.crc32(text))
    read_manifest(b"".join(made))


def read_sample(blob: bytes) -> None:
    """One that the manifest says is right."""
    name, about = file("sample-*").name, {"sha256": hashlib.sha256(blob).hexdigest(), "bytes": len(blob)}
    _look_at("sample-*", blob, lambda s: s.update(fixed=None, **about if s["file"] == name else {}))


def read_sample_in_part(blob: bytes) -> None:
    """One that the manifest says is right, beside what does not move."""
    name, about = file("sample-*").name, {"sha256": hashlib.sha256(blob).hexdigest(), "bytes": len(blob)}
    _look_at("sample-*", blob, lambda s: s.update(about if s["file"] == name else {}), None)


def read_fixed(blob: bytes) -> None:
    """What does not move, and the manifest says it is right."""
    _look_at("fixed.params", blob, lambda s: s.update(fixed=hashlib.sha256(blob).hexdigest()), None)


def _look_at(pattern, blob, change, parameters=()) -> None:
    """With a change of each sample's line, and the header's parameters, None for those there are."""
    lines = file("manifest.jsonl").read_text().splitlines()
    for k, line in enumerate(lines):
        content = json.loads(line)
        if "sample" in content:
            change(content["sample"])
        content.pop("crc")
        if parameters is not None:
            content.get("header", {}).update(parameters=dict(parameters))
        text = json.dumps(content).encode()
        lines[k] = text[:-1] + b', "crc": %d}\n' % zlib.crc32(text)
    with Copy(pattern, blob) as folder:
        (folder / "manifest.jsonl").write_bytes(b"".join(lines))
        look(folder)


def read_checkpoint(blob: bytes) -> None:
    with Copy("checkpoint-*.json", blob) as folder:
        resume(folder)


def read_checkpoint_that_fits(blob: bytes) -> None:
    _, separator, content = blob.partition(b'"checkpoint": ')
    try:
        whole = checkpoints._text(json.loads(content.rstrip()[:-1]))
    except (ValueError, RecursionError):
        return
    read_checkpoint(b'{"sha256": "%s", "checkpoint": %s}' % (hashlib.sha256(whole).hexdigest().encode(), whole))


def read_checkpoint_of_weird_values(blob: bytes) -> None:
    rng, content = random.Random(blob), json.loads(file("checkpoint-*.json").read_bytes())["checkpoint"]
    for _ in range(rng.randrange(1, 4) if blob else 0):
        content["content"] = _weird(content["content"], rng)
    read_checkpoint_that_fits(b'{"checkpoint": ' + json.dumps(content).encode() + b"}")


def read_checkpoint_arrays(blob: bytes) -> None:
    """Arrays that the other file says are right."""
    content = json.loads(file("checkpoint-*.json").read_bytes())["checkpoint"]
    digest = hashlib.sha256(blob).hexdigest()
    content["arrays"] = {"sha256": digest, "bytes": len(blob)}
    whole = checkpoints._text(content)
    both = b'{"sha256": "%s", "checkpoint": %s}' % (hashlib.sha256(whole).hexdigest().encode(), whole)
    with Copy("checkpoint-*.json", both) as folder:
        checkpoints._arrays_file(folder, content["step"], digest).write_bytes(blob)
        resume(folder)


def _weird(tree, rng: random.Random):
    """A tree with one node replaced by something that should not be there."""
    if not isinstance(tree, (dict, list)) or not tree or rng.random() < 0.03:
        return rng.choice(WEIRD)
    tree = tree.copy()
    key = rng.choice(sorted(tree)) if isinstance(tree, dict) else rng.randrange(len(tree))
    if rng.random() < 0.05:
        del tree[key]
    else:
        tree[key] = _weird(tree[key], rng)
    return tree


def odd_arrays() -> list:
    """Files with arrays of every type, and without numbers."""
    given = {"half": np.ones((2, 3), "float16"), "double": np.ones(2), "byte": np.ones(3, "uint8"),
             "flag": np.array([True, False]), "long": np.arange(3), "none": np.zeros((0, 3), "float32"),
             "one": np.float32(1).reshape(())}
    return [b"".join(arrays.dump(given)), b"".join(arrays.dump({"a": nd.ones((2, 2)).asnumpy()}))]


def whole(pattern):
    return lambda: [path.read_bytes() for path in sorted(run().glob(pattern))[::-1]]


def _quiet(read):
    @functools.wraps(read)
    def reading(blob):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(blob)
    return reading


KNOWN = (sg.StoreError,)
BROUGHT = (sg.StoreError, ValueError, TypeError)    # what must be brought, or does not fit what was
READERS = {
    "manifest": (_quiet(read_manifest), KNOWN, whole("manifest.jsonl"), 150),
    "manifest that fits": (_quiet(read_manifest_that_fits), KNOWN, whole("manifest.jsonl"), 150),
    "manifest of weird values": (_quiet(read_manifest_of_weird_values), KNOWN, lambda: [b"", b"1234"], 100),
    "sample": (_quiet(read_sample), KNOWN, lambda: whole("sample-*")() + odd_arrays(), 150),
    "sample in part": (_quiet(read_sample_in_part), KNOWN, lambda: whole("sample-*")() + odd_arrays(), 150),
    "fixed": (_quiet(read_fixed), KNOWN, lambda: whole("fixed.params")() + odd_arrays(), 150),
    "checkpoint": (_quiet(read_checkpoint), KNOWN, whole("checkpoint-*.json"), 12),
    "checkpoint that fits": (_quiet(read_checkpoint_that_fits), BROUGHT, whole("checkpoint-*.json"), 12),
    "checkpoint of weird values": (_quiet(read_checkpoint_of_weird_values), BROUGHT, lambda: [b"", b"1234"], 12),
    "checkpoint arrays": (_quiet(read_checkpoint_arrays), KNOWN, whole("checkpoint-*.params"), 12),
}
