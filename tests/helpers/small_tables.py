"""Small tables as files, and the shortest runs of the command on them."""
import csv
import random

HEADER = ["time", "weight", "colour", "strength"]
# No training and no pilot chain: what is looked at does not depend on how good the chains are.
SHORT = ["--no-warm-start", "--learning-rate", "0.002", "--activation", "tanh", "--hidden", "8", "--chains", "2",
         "--samples", "20"]


def rows(count=60, seed=1):
    """Numbers, some of them missing, a column of names, and what depends on them."""
    draw = random.Random(seed)
    for _ in range(count):
        time, weight, colour = draw.uniform(0, 10), draw.gauss(50, 10), draw.choice(["red", "green", "blue"])
        strength = time + 0.1 * weight + len(colour) + draw.gauss(0, 0.3)
        yield [f"{time:.3f}", "" if draw.random() < 0.1 else f"{weight:.3f}", colour, f"{strength:.3f}"]


def table(path, lines=None, header=HEADER):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *(rows() if lines is None else lines)])
    return path
