"""A linear regression whose chains are drawn by NumPy from laws that are known, right ones and wrong ones."""
import numpy as np
from mxnet import nd
from planted_chains import network

import sgmcmc_mx as sg


class ExactRegression:
    """y = w'x + noise of standard deviation 1, w ~ N(0, I); inputs of very different scales.

    ``curvature``, ``U``: of the Hessian of U, from the flattest direction to the steepest.
    """

    likelihood = sg.likelihoods.Gaussian(1.0)

    def __init__(self, seed, inputs=60, examples=200, scales=(0.3, 3.0)):
        self.random = np.random.RandomState(seed)
        turn, _ = np.linalg.qr(self.random.standard_normal((inputs, inputs)))
        self.x = ((self.random.standard_normal((examples, inputs)) * np.geomspace(*scales, inputs)) @ turn).astype("f4")
        y = self.x @ self.random.standard_normal(inputs) + self.random.standard_normal(examples)
        self.y = y.astype("f4")[:, None]
        self.H = self.x.T.astype(float) @ self.x + np.eye(inputs)
        self.mean = np.linalg.solve(self.H, self.x.T.astype(float) @ self.y[:, 0])
        self.curvature, self.U = np.linalg.eigh(self.H)
        self.net = network(1, inputs)

    def chain(self, draws, ratios=1.0, kinetic=1.0, drift=0.0):
        """Independent samples whose variances along the eigenvectors are ``ratios`` times the posterior's."""
        size = len(self.mean)
        sd = np.sqrt(ratios / self.curvature) * np.ones(size)
        w = self.mean + (sd * self.random.standard_normal((draws, size))) @ self.U.T
        w += drift * np.exp(-np.arange(draws) / (0.3 * draws))[:, None] * (self.U @ (1 / np.sqrt(self.curvature)))
        heat = kinetic * self.random.chisquare(size, draws) / size
        return [sg.Sample({"weight": nd.array(row[None])}, step=k, temperature=float(t))
                for k, (row, t) in enumerate(zip(w, heat))]

    def chains(self, number=4, draws=100, **wrong):
        return [self.chain(draws, **wrong) for _ in range(number)]

    def asked(self, runs, **options):
        options = {"net": self.net, "likelihood": self.likelihood, "gradients": 400, "directions": 60, **options}
        return sg.diagnostics.temperatures(runs, (self.x, self.y), **options)
