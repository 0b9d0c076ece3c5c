"""Which Pythons are here to try the wheel with."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from . import Failure

__all__ = ["WANTED", "find"]

WANTED = ("3.8", "3.11", "3.12")
ASK = "import sys; print('%d.%d' % sys.version_info[:2]); import ensurepip, venv"


def find(named=(), required=False, environ=os.environ, wanted=WANTED):
    """The interpreters to use, {version: program}, and what is missing, {version: reason}.

    ``named`` are programs that the user gave; each has to work. The versions ``wanted`` that are not among them are
    looked for: on PATH, and where pyenv keeps them. With ``required`` a missing one is a :class:`Failure`.
    """
    found, missing = {}, {}
    for program in named:
        version, reason = _try(program)
        if reason:
            raise Failure(f"--python {program}: {reason}")
        found[version] = program
    for version in wanted:
        if version in found:
            continue
        tried = [(program, *_try(program)) for program in _candidates(version, environ)]
        fit = [program for program, has, reason in tried if has == version and not reason]
        if fit:
            found[version] = fit[0]
        else:
            missing[version] = "; ".join(f"{p}: {why}" for p, has, why in tried if why) or "not on PATH"
    if missing and (required or not found):
        said = "\n".join(f"  python{version}: {reason}" for version, reason in missing.items())
        raise Failure(
            f"these Pythons were not found:\n{said}\nInstall {'them' if required else 'one of them'}, or name it: "
            f"--python /path/to/python{wanted[0]}"
        )
    return found, missing


def _candidates(version, environ):
    """Programs that may be Python ``version``, the likeliest first."""
    path = environ.get("PATH", "")
    named = [shutil.which(f"python{version}", path=path)]
    kept = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv") / "versions"
    kept = sorted(kept.glob(f"{version}.*/bin/python{version}"), key=lambda p: _numbers(p.parts[-3]), reverse=True)
    return [str(program) for program in (*named, *kept) if program]


def _numbers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def _try(program):
    """Version of an interpreter (None if it does not run), and what is wrong with it (None if nothing is)."""
    try:
        done = subprocess.run(
            [program, "-c", ASK], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    version = done.stdout.strip()
    if not re.fullmatch(r"3\.\d+", version):
        said = done.stderr.strip().splitlines()
        return None, f"does not run ({said[0] if said else 'it printed nothing'})"
    if done.returncode != 0:
        return version, f"has no module venv (Debian, Ubuntu: sudo apt install python{version}-venv)"
    return version, None
