"""Environments of the other libraries, each its own, in a cache folder; never what this package depends on."""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PINS = {
    "torch": ["torch==2.13.0", "posteriors==0.1.3", "torchopt==0.7.3", "optree==0.20.0", "tensordict==0.15.3",
              "numpy==2.4.6", "setuptools"],
    "blackjax": ["jax==0.10.2", "jaxlib==0.10.2", "blackjax==1.7.1", "optax==0.2.8", "numpy==2.4.6"],
    "sgmcmcjax": ["sgmcmcjax==0.2.13", "jax==0.4.34", "jaxlib==0.4.34", "optax==0.2.5", "numpy==1.26.4"],
}


def home() -> Path:
    """Where the environments lie: $SGMCMC_MX_PEERS, or the user's cache."""
    told = os.environ.get("SGMCMC_MX_PEERS")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(told).expanduser() if told else Path(cache) / "sgmcmc_mx" / "peers"


def ensure(name: str) -> Path:
    """The interpreter of an environment, which is made and filled the first time."""
    folder = home() / name
    python, stamp = folder / "bin" / "python", folder / "filled-with.txt"
    wanted = "\n".join(PINS[name])
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"making {folder} (once; {', '.join(PINS[name][:2])}, ...)", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([_base(), "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS[name]],
                   check=True)
    stamp.write_text(wanted)
    return python


def _base() -> str:
    """A Python that these versions have wheels for: 3.11 to 3.13."""
    for candidate in ([os.environ["PEERS_PYTHON"]] if "PEERS_PYTHON" in os.environ else
                      ["python3.11", "python3.12", "python3.13", "python3"]):
        found = shutil.which(candidate)
        if found is None:
            continue
        asked = subprocess.run([found, "-c", "import ensurepip, sys, venv; print(*sys.version_info[:2])"],
                               capture_output=True, text=True)
        if asked.returncode == 0 and asked.stdout.split() in (["3", "11"], ["3", "12"], ["3", "13"]):
            return found
    raise SystemExit("error: the other libraries need Python 3.11, 3.12 or 3.13 with the module venv; install one, or "
                     "name it: PEERS_PYTHON=/path/to/python3.11 scripts/benchmark --peers")
