"""The noise is Philox4x32-10 to the bit, a pure function of its key and counter, and standard normal."""
import numpy as np
import pytest
from scipy import stats

from sgmcmc_mx.kernels.noise import MOMENTUM, STEP, _box_muller, normal, philox4x32, words

BIG = 2 ** 40 + 12345

# ---------------------------------------------------------------------------------------------------- the generator

KNOWN = [   # counter, key, result: the vectors that Random123 comes with
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def _hex(text):
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize("counter, key, result", KNOWN)
def test_known_answers(counter, key, result):
    assert tuple(int(x) for x in philox4x32(_hex(counter), _hex(key))) == _hex(result)


def test_known_answers_in_one_vector():
    """Counters broadcast, and neighbours have nothing to do with each other."""
    counter = tuple(np.array(column) for column in zip(*(_hex(c) for c, _, _ in KNOWN)))
    for i, (_, key, result) in enumerate(KNOWN):
        assert tuple(int(x[i]) for x in philox4x32(counter, _hex(key))) == _hex(result)


def _scalar_philox(counter, key):
    """The same by Python's integers, from the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


@pytest.mark.parametrize("seed, step, parameter, stream", [
    (0, 0, 0, STEP), (1, 2, 3, MOMENTUM), (BIG, 2 ** 33 + 7, 9, STEP),
    (2 ** 64 - 1, 2 ** 56 - 1, 2 ** 32 - 1, MOMENTUM)])
def test_layout(seed, step, parameter, stream):
    """Element 64 g + 16 j + k is word j of block 16 g + k, paired by Box and Muller: the contract with the backends."""
    n = normal(64 * 3, seed, step, parameter, stream)
    key = (seed & 0xFFFFFFFF, seed >> 32)
    for e in (0, 15, 16, 31, 40, 63, 64, 100, 128 + 47, 191):
        g, j, k = e // 64, e % 64 // 16, e % 16
        x = _scalar_philox((16 * g + k, parameter, step & 0xFFFFFFFF, (step >> 32) + (stream << 24)), key)
        u = ((x[j // 2 * 2] >> 1) + 0.5) / 2 ** 31
        th = np.pi * np.int64(np.uint32(x[j // 2 * 2 + 1]).view(np.int32)) / 2 ** 31
        r = np.sqrt(-2 * np.log(u))
        assert n[e] == pytest.approx(r * (np.sin(th) if j % 2 else np.cos(th)), rel=1e-5, abs=1e-5 * r)


def test_words_are_blocks():
    whole = words(0, 64, 5, 6, 7)
    part = words(48, 16, 5, 6, 7)
    for a, b in zip(whole, part):
        assert a.dtype == np.uint32
        np.testing.assert_array_equal(a[48:], b)


# ------------------------------------------------------------------------------------------------- a pure function

@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65, 1000, 4 * 16384 - 1, 4 * 16384 + 1, 200001])
def test_the_first_elements_do_not_depend_on_the_size(size):
    whole = normal(200100, 3, 4, 5)
    found = normal(size, 3, 4, 5)
    assert found.shape == (size,) and found.dtype == np.float32
    np.testing.assert_array_equal(found, whole[:size])


def test_the_same_call_gives_the_same_bits():
    first = normal(1000, BIG, 7, 2)
    normal(77, 1, 2, 3)
    np.random.seed(1)
    np.testing.assert_array_equal(first, normal(1000, BIG, 7, 2))


def test_every_argument_matters():
    """Also in its high words: no two keys or counters fall together."""
    calls = [(seed, step, parameter, stream) for seed in (0, 1, 2 ** 32, 2 ** 32 + 1, 2 ** 63)
             for step in (0, 1, 2 ** 31, 2 ** 32, 2 ** 55) for parameter in (0, 1, 2 ** 24, 2 ** 32 - 1)
             for stream in (STEP, MOMENTUM)]
    seen = {normal(8, *call).tobytes() for call in calls}
    assert len(seen) == len(calls)


# ------------------------------------------------------------------------------------------------ standard normal

@pytest.fixture(scope="module")
def many():
    return normal(2_000_000, 20, 3, 1).astype(np.float64)


def test_moments(many):
    n = many.size
    for power, mean, fourth in ((1, 0, 1), (2, 1, 3), (3, 0, 15), (4, 3, 105), (6, 15, 10395)):
        z = ((many ** power).mean() - mean) / ((fourth - mean ** 2) / n) ** 0.5
        assert abs(z) < 5, (power, z)


def test_distribution(many):
    assert stats.kstest(many, "norm").pvalue > 1e-6


@pytest.mark.parametrize("lane", range(4))
def test_distribution_of_each_lane(many, lane):
    """Cosines and sines of both pairs."""
    assert stats.kstest(many.reshape(-1, 4, 16)[:, lane].ravel(), "norm").pvalue > 1e-6


@pytest.mark.parametrize("sigma", [3.0, 4.0, 4.5])
@pytest.mark.parametrize("side", [-1, 1])
def test_tails(many, sigma, side):
    expected = many.size * stats.norm.sf(sigma)
    assert abs((side * many > sigma).sum() - expected) < 5 * expected ** 0.5


def test_the_ends_of_the_generator_are_finite():
    """The largest and smallest words: the tail reaches 6.66 sigma, and no logarithm of 0."""
    x0 = np.array([0, 1, 2 ** 32 - 1, 2 ** 31, 0], dtype=np.uint32)
    x1 = np.array([0, 2 ** 31, 2 ** 32 - 1, 1, 2 ** 30], dtype=np.uint32)
    n0, n1 = _box_muller(x0, x1)
    assert np.isfinite(n0).all() and np.isfinite(n1).all()
    assert n0[0] == pytest.approx(6.66, abs=0.005) and n1[4] == pytest.approx(6.66, abs=0.005)
    assert n0[1] == pytest.approx(-6.66, abs=0.005)


# --------------------------------------------------------------------------------------------------- independence

def _uncorrelated(x, y, what):
    """As numbers, in their squares (a pair shares its radius) and in their signs' company."""
    for f in (lambda a: a, lambda a: a * a - 1, np.abs):
        a, b = f(x), f(y)
        r = np.corrcoef(a, b)[0, 1] * len(a) ** 0.5
        assert abs(r) < 5, (what, r)
    cross = np.corrcoef(x, y * y)[0, 1] * len(x) ** 0.5
    assert abs(cross) < 5, (what, cross)


def test_elements_are_independent(many):
    for lag in (1, 2, 3, 15, 16, 17, 32, 48, 64, 65, 1024, 65536):
        _uncorrelated(many[:-lag], many[lag:], f"lag {lag}")


def test_lanes_are_independent(many):
    """Above all the two of a pair, which have one radius and one angle: r^2 and th are what they are made of."""
    lanes = many.reshape(-1, 4, 16)
    for i in range(4):
        for j in range(i):
            _uncorrelated(lanes[:, i].ravel(), lanes[:, j].ravel(), f"lanes {i} and {j}")


OTHERS = [(20, 4, 1, STEP), (20, 3 + 2 ** 32, 1, STEP), (20, 3, 2, STEP), (21, 3, 1, STEP), (20 + 2 ** 32, 3, 1, STEP),
          (20, 3, 1, MOMENTUM), (3, 20, 1, STEP), (20, 1, 3, STEP)]


@pytest.mark.parametrize("other", OTHERS)
def test_steps_parameters_seeds_and_streams_are_independent(many, other):
    x, y = many[:1_000_000], normal(1_000_000, *other).astype(float)
    _uncorrelated(x, y, other)
    _uncorrelated(x[:-1], y[1:], other)


def test_one_element_over_the_steps_is_noise_too():
    """A walker's own sequence: normal, and uncorrelated from step to step."""
    path = np.array([normal(16, 9, t, 0) for t in range(8000)]).astype(float)
    assert stats.kstest(path.ravel(), "norm").pvalue > 1e-6
    for lag in (1, 2, 3):
        _uncorrelated(path[:-lag].ravel(), path[lag:].ravel(), f"lag {lag}")


def test_sums_over_steps_have_the_right_variance():
    """What a sampler lives on: 200 steps add to variance 200, for every parameter."""
    for parameter in (0, 1):
        total = sum(normal(5000, 2 ** 63 + 1, t, parameter).astype(float) for t in range(1, 201))
        z = ((total ** 2).mean() / 200 - 1) / (2 / 5000) ** 0.5
        assert abs(z) < 5
