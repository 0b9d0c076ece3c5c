"""Real data: a piece of MNIST that comes with the package, full MNIST and Fashion-MNIST from wherever they can be had.

>>> import sgmcmc_mx as sg
>>> x_train, y_train, x_test, y_test = sg.datasets.mnist_small()
>>> x_train.shape, x_train.dtype, y_train[:5]
((5000, 784), dtype('float32'), array([5, 0, 4, 1, 9], dtype=int32))
"""
from .files import DatasetError
from .sets import Dataset, fashion_mnist, mnist, mnist_small

__all__ = ["Dataset", "DatasetError", "fashion_mnist", "mnist", "mnist_small"]
