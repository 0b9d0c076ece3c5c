"""What has to be in the source distribution and in the wheel: all that git knows, and nothing else."""

import tarfile
import zipfile
from pathlib import Path

from . import Failure, run

__all__ = ["check_sdist", "check_wheel", "clean_copy", "known_files"]

STEP = "sgmcmc_mx/kernels/_step.so"
NOT_SHIPPED = (".ci/", ".git")  # how this repository is worked on
ADDED_TO_SDIST = ("PKG-INFO", "setup.cfg", "sgmcmc_mx.egg-info/")


def known_files(root):
    """Paths below ``root`` that belong to the project: git's, or those an unpacked source distribution names."""
    root = Path(root)
    listed = root / "sgmcmc_mx.egg-info" / "SOURCES.txt"
    if (root / ".git").exists():
        told = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root).split("\0")
    elif (root / "PKG-INFO").exists() and listed.exists():
        told = [name for name in listed.read_text(encoding="utf-8").splitlines() if shipped(name)]
    else:
        raise Failure(f"{root} is neither a git checkout nor an unpacked source distribution; clone the repository")
    return sorted(name for name in told if name and (root / name).is_file())


def shipped(name):
    return not name.startswith((*NOT_SHIPPED, *ADDED_TO_SDIST))


def clean_copy(root, target):
    """Copy the project's files, so that nothing else that lies in a checkout gets into a package."""
    for name in known_files(root):
        copy = Path(target) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((Path(root) / name).read_bytes())
        copy.chmod((Path(root) / name).stat().st_mode & 0o755)


def check_sdist(path, known):
    """Raise a :class:`Failure` unless the archive holds what is to be shipped, no more and no less."""
    with tarfile.open(path) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
    compare(path, {name for name in names if not name.startswith(ADDED_TO_SDIST)}, set(filter(shipped, known)))


def check_wheel(path, known, step=True):
    """As :func:`check_sdist`, for a wheel; ``step`` says whether the native step is in it."""
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    info = "-".join(Path(path).name.split("-")[:2]) + ".dist-info/"
    if not any(name.startswith(info) and name.endswith("/LICENSE") for name in names):
        raise Failure(f"{Path(path).name} has no LICENSE in {info}")
    wanted = {name for name in known if name.startswith("sgmcmc_mx/")} | ({STEP} if step else set())
    compare(path, {name for name in names if not name.startswith(info)}, wanted)


def compare(path, held, wanted):
    for what, names in (("lacks", wanted - held), ("should not hold", held - wanted)):
        if names:
            shown = ", ".join(sorted(names)[:10]) + (", ..." if len(names) > 10 else "")
            raise Failure(f"{Path(path).name} {what} {shown}; see MANIFEST.in, and package_data in setup.py")
