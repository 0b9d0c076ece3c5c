"""A summary of 4 chains of 400 samples on 2,000 inputs of 10 classes: its seconds of all cores
together, and the most MB of the process."""
import resource
import time

from planted_chains import Classifier

import sgmcmc_mx as sg


def main() -> None:
    model = Classifier(0, examples=2000)
    runs = model.good(4, 400)
    begin = time.process_time()
    found = sg.diagnostics.summary(runs, model.x, model.y, net=model.net, likelihood="softmax")
    seconds = time.process_time() - begin
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found.verdict}, {seconds:.1f} s, {most:.0f} MB")


if __name__ == "__main__":
    main()
