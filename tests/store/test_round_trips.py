"""Whatever is written is read back as it was: arrays, lines of the manifest, objects (hypothesis)."""
import io
import math
import re
import tempfile

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mxnet import lr_scheduler, nd

import sgmcmc_mx as sg
from sgmcmc_mx.checkpoint.objects import Encoder, decode, name_of
from sgmcmc_mx.store import arrays, manifest

KINDS = st.sampled_from(["float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool"]).map(np.dtype)
QUICK = settings(max_examples=60, derandomize=True, deadline=None, database=None)
NAMES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12)


def some(shape):
    return st.dictionaries(NAMES, KINDS.flatmap(lambda d: hnp.arrays(d, shape)), max_size=4)


def equal(some, others):
    assert list(some) == list(others)
    for name, a in some.items():
        b = others[name]
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a, b)


@QUICK
@given(some(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3)))
def test_arrays(given):
    equal(given, arrays.load(b"".join(arrays.dump(given))))


@QUICK
@given(some(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=3)))
def test_mxnet_reads_ours_and_the_bytes_are_its_own(given):
    given = {n.replace("\0", "0") + str(k): a for k, (n, a) in enumerate(given.items())}
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = folder + "/ours", folder + "/theirs"
        with open(ours, "wb") as f:
            f.write(b"".join(arrays.dump(given)))
        if given:
            mx.nd.save(theirs, {n: nd.array(a, dtype=a.dtype) for n, a in given.items()})
            with open(theirs, "rb") as f:
                data = f.read()
            equal(given, arrays.load(data))
            assert data == b"".join(arrays.dump(given))
            equal(given, {n: a.asnumpy() for n, a in mx.nd.load(ours).items()})


@QUICK
@given(some(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)))
def test_under_numpys_rules(given):
    given = {f"{k}": a for k, a in enumerate(given.values())}
    with tempfile.TemporaryDirectory() as folder, mx.util.np_shape(True):
        if given:
            mx.nd.save(folder + "/theirs", {n: nd.array(a, dtype=a.dtype) for n, a in given.items()})
            with open(folder + "/theirs", "rb") as f:
                assert f.read() == b"".join(arrays.dump(given, np_shape=True))
            equal(given, {n: a.asnumpy() for n, a in mx.nd.load(folder + "/theirs").items()})


NUMBERS = st.none() | st.floats() | st.integers(-2 ** 80, 2 ** 80)
SAMPLES = st.lists(st.tuples(st.integers(0, 10 ** 12), st.floats(1e-99, 1e99), NUMBERS, NUMBERS,
                             st.none() | st.dictionaries(st.text(), st.floats(), max_size=3)), max_size=6)
EVENTS = st.lists(st.dictionaries(st.text(max_size=9), NUMBERS | st.text(max_size=9), max_size=3), max_size=3)


@QUICK
@given(SAMPLES, EVENTS, st.integers(0, 200))
def test_lines_of_the_manifest(samples, events, cut):
    """Read back as they were, what is not finite as null; a part of a line more changes nothing."""
    header = {"format": 1, "keep_last": None, "dtype": None, "signals": True, "outputs": False, "parameters": {}}
    entries = {}
    out = io.BytesIO(manifest.line("header", header))
    out.seek(0, 2)
    for step, weight, a, b, hyper in samples:
        entry = manifest.Entry(f"sample-{step:09d}.params", step, weight, a, b, None, hyper, "0" * 64, 7)
        entries[step] = manifest.Entry(*map(manifest.plain, entry))
        out.write(manifest.line("sample", entry._asdict()))
    for event in events:
        out.write(manifest.line("event", event))
    data, more = out.getvalue(), manifest.line("drop", 3)[:-1]
    found = manifest.parse(data + more[:cut], "here")
    assert found.header == header and found.entries == list(entries.values()) and found.end == len(data)
    assert found.events == [manifest.plain(e) for e in events] and found.lines == 1 + len(samples) + len(events)


KNOWN = {name_of(c): c for c in (lr_scheduler.FactorScheduler, sg.priors.Gamma)}
LEAVES = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
          | hnp.arrays(np.float32, (2,)) | st.sampled_from(["a.*b", "[0-9]+"]).map(re.compile)
          | st.builds(lambda n: lr_scheduler.FactorScheduler(n, 0.5, base_lr=0.1), st.integers(1, 9)))
KEYS = st.text(max_size=3) | st.integers() | st.tuples(st.integers(), st.text(max_size=2))
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.lists(v, max_size=3).map(tuple)
                      | st.dictionaries(KEYS, v, max_size=3) | st.frozensets(st.integers(), max_size=3).map(set),
                      max_leaves=12)


def alike(a, b):
    if isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    elif isinstance(a, float):
        assert a == b or (math.isnan(a) and math.isnan(b))
        assert math.copysign(1, a) == math.copysign(1, b) or math.isnan(a)
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        [alike(x, y) for x, y in zip(a, b)]
    elif isinstance(a, dict):
        assert list(a) == list(b)
        [alike(v, b[k]) for k, v in a.items()]
    elif isinstance(a, lr_scheduler.LRScheduler):
        assert type(a) is type(b) and a is not b
        alike(a.__dict__, b.__dict__)
    else:
        assert a == b and type(a) is type(b)


@QUICK
@given(VALUES)
def test_objects(value):
    encode = Encoder(KNOWN)
    tree = manifest.json.loads(manifest.json.dumps(encode(value), allow_nan=False))
    alike(value, decode(tree, encode.arrays, KNOWN, {}))


def test_an_object_that_comes_twice_is_one():
    shared, array = lr_scheduler.FactorScheduler(3), nd.ones((2,))
    encode = Encoder(KNOWN, ("prior",))
    value = {"a": shared, "b": [shared, array], "prior": io.BytesIO()}
    tree, numbers = encode(value), {n: a.asnumpy() for n, a in encode.arrays.items()}
    with pytest.raises(LookupError, match="prior.*BytesIO"):
        decode(tree, numbers, KNOWN, {})
    made = decode(tree, numbers, KNOWN, {"prior": "mine"})
    assert made["a"] is made["b"][0] and made["prior"] == "mine" and isinstance(made["b"][1], nd.NDArray)
