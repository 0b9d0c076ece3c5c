"""Chains that pages are made of: small images, in a network whose names would be an attack."""
import numpy as np
from mxnet import gluon, init
from small_chains import AtOnce

import sgmcmc_mx as sg

HOSTILE = "</script><img src=x onerror=alert(1)>"
CLASSES = ["circle & co", HOSTILE, "\"><svg onload='alert(2)'> $x_"]
SIDE, N = 10, 90


def images(seed, number):
    """Blobs in one of three places."""
    random = np.random.RandomState(seed)
    y = random.randint(0, 3, number)
    at = np.arange(SIDE)
    centre = np.array([[2, 2], [7, 3], [4, 7]])[y] + 0.7 * random.standard_normal((number, 2))
    x = np.exp(-((at[:, None] - centre[:, :1, None])**2 + (at[None] - centre[:, 1:, None])**2) / 6)
    return (x + 0.1 * random.standard_normal(x.shape)).astype(np.float32), y


X, Y = images(0, N)
X_TEST, Y_TEST = images(1, 40)


def network(name=HOSTILE):
    net = gluon.nn.HybridSequential()
    net.register_child(gluon.nn.Dense(6, activation="tanh", in_units=SIDE**2), name)
    net.register_child(gluon.nn.Dense(3, in_units=6), "out")
    net.initialize(init.Xavier())
    return net


def build(chain):
    data = sg.data.ArrayLoader(X.reshape(N, -1), Y.astype(np.float32), batch_size=30)
    return sg.ChainSetup(network(), sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": 0.02}, burn_in=20,
                         thin=5, gradients="mxnet")


def sampled(folder, chains=3, samples=12):
    """Several chains of a folder, as they came out."""
    return sg.sample_chains(build, chains, steps=20 + 5 * samples, store=folder, seed=4, executor=AtOnce())
