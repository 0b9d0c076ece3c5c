"""Make docs/pictures anew: run examples, papers and pages, and keep the pictures that pages show, with few colours.

``scripts/docs --pictures`` calls it. ``python docs/make_pictures.py NAME ...`` makes those of some runs only.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
COLOURS = 96        # enough for lines, bands and grey digits; a picture is then some 30 kB

# run -> (command after the interpreter, {picture it writes: name in docs/pictures}); {out} is a temporary folder
RUNS = {
    "regression": (["examples/regression.py", "--out", "{out}"], {"band": "band"}),
    "quickstart": (["examples/quickstart.py", "--seed", "0", "--out", "{out}"],
                   {"reliability": "reliability", "nll_by_samples": "nll_by_samples", "least_sure": "least_sure",
                    "trace": "trace"}),
    "why_stochastic": (["examples/why_stochastic.py", "--out", "{out}"], {"why_stochastic": "why_stochastic"}),
    "welling-teh": (["-W", "ignore", "-m", "papers.main", "welling-teh", "--out", "{out}"],
                    {"welling-teh": "welling_teh"}),
    "chen-1": (["-W", "ignore", "-m", "papers.main", "chen-1", "--out", "{out}"], {"chen-1": "wind"}),
    "ding": (["-W", "ignore", "-m", "papers.main", "ding", "--out", "{out}"], {"ding": "thermostat"}),
}


def keep(source: Path, name: str) -> None:
    """A picture with few colours, as docs/pictures/name.png."""
    target = DOCS / "pictures" / f"{name}.png"
    target.parent.mkdir(exist_ok=True)
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1024} kB")


def make(run: str) -> None:
    """Carry out one run and keep its pictures."""
    command, pictures = RUNS[run]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *(part.format(out=folder) for part in command)], cwd=str(ROOT), check=True)
        for written, name in pictures.items():
            keep(Path(folder) / f"{written}.png", name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)}; all of them by default")
    for run in parser.parse_args().runs or RUNS:
        if run not in RUNS:
            parser.error(f"no run {run!r}; there are {', '.join(RUNS)}")
        make(run)


if __name__ == "__main__":
    main()
