"""What scripts/wheel checks, where there is something to find: contents, tag, symbols, Pythons."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from _wheel import Failure, contents, pythons, symbols

from sgmcmc_mx.kernels import native

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash")
COMPILER = shutil.which("cc")

pytestmark = pytest.mark.skipif(
    BASH is None or not ((ROOT / ".git").exists() or (ROOT / "PKG-INFO").exists()), reason="needs bash and a checkout"
)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
needs_step = pytest.mark.skipif(not native.is_there(), reason="the native step was not compiled")


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{BASH}\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def source(tmp_path):
    contents.clean_copy(ROOT, tmp_path / "source")
    return tmp_path / "source"


def setup_py(source, *arguments, **env):
    command = [sys.executable, "setup.py", "-q", *arguments]
    done = subprocess.run(command, cwd=source, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built, = (source / "dist").iterdir()
    return built


def tags(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name, = (name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        return archive.read(name).decode()


def test_the_source_distribution_holds_what_git_knows(source):
    known = contents.known_files(ROOT)
    shipped = {"LICENSE", "scripts/wheel", "sgmcmc_mx/py.typed", "sgmcmc_mx/kernels/src/step.cu",
               "sgmcmc_mx/datasets/data_files/mnist_small.npz", "scripts/gpu_checks/on_host.h"}
    assert shipped <= set(known)
    (source / "sgmcmc_mx" / "kernels" / "_step.so").write_bytes(b"left by a build")
    contents.check_sdist(setup_py(source, "sdist"), known)


def test_a_source_distribution_that_lacks_something_is_refused(source):
    (source / "MANIFEST.in").write_text((source / "MANIFEST.in").read_text().replace("graft papers\n", ""))
    sdist = setup_py(source, "sdist")
    with pytest.raises(Failure, match=r"lacks papers/.*MANIFEST\.in"):
        contents.check_sdist(sdist, contents.known_files(ROOT))


def test_an_unpacked_source_distribution_knows_its_files(source, tmp_path):
    sdist = setup_py(source, "sdist")
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data" if sys.version_info >= (3, 12) else None)
    folder, = (tmp_path / "unpacked").iterdir()
    shipped = [name for name in contents.known_files(ROOT) if contents.shipped(name)]
    assert contents.known_files(folder) == shipped


@pytest.mark.parametrize("folder", ["", "elsewhere"])
def test_files_of_neither_are_refused(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "PKG-INFO").write_text("")
    with pytest.raises(Failure, match="clone the repository"):
        contents.known_files(tmp_path / folder)


@needs_step
def test_a_wheel_with_the_native_step_serves_every_python(source, tmp_path):
    # What is looked at is the wheel: the library compiled for these tests serves, compiling it again takes ten seconds.
    copy = f'while [ "$1" != -o ]; do shift; done; exec cp {native._PATH} "$2"'
    wheel = setup_py(source, "bdist_wheel", CC=program(tmp_path / "cc", copy))
    machine = os.uname().machine
    assert wheel.name.endswith(f"-py3-none-linux_{machine}.whl")
    assert f"Tag: py3-none-linux_{machine}\n" in tags(wheel) and "Root-Is-Purelib: false" in tags(wheel)
    known = contents.known_files(ROOT)
    contents.check_wheel(wheel, known)
    with pytest.raises(Failure, match=r"should not hold sgmcmc_mx/kernels/_step\.so"):
        contents.check_wheel(wheel, known, step=False)
    with pytest.raises(Failure, match=r"lacks sgmcmc_mx/more\.py"):
        contents.check_wheel(wheel, [*known, "sgmcmc_mx/more.py"])


def test_a_wheel_without_the_native_step_says_so(source, tmp_path):
    stale = source / "build" / f"lib.linux-{os.uname().machine}-{sys.implementation.cache_tag}"
    for folder in (stale, source / "build" / "lib", source):  # left by earlier builds, of other sources
        (folder / "sgmcmc_mx" / "kernels").mkdir(parents=True, exist_ok=True)
        (folder / "sgmcmc_mx" / "kernels" / "_step.so").write_bytes(b"stale")
    wheel = setup_py(source, "bdist_wheel", CC=str(tmp_path / "no-compiler"))
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "Tag: py3-none-any\n" in tags(wheel) and "Root-Is-Purelib: true" in tags(wheel)
    contents.check_wheel(wheel, contents.known_files(ROOT), step=False)


def compiled(folder, source, *options):
    (folder / "library.c").write_text(source)
    target = folder / "library.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", target, folder / "library.c", *options], check=True)
    return target


@needs_compiler
@needs_step
def test_the_native_step_needs_no_newer_glibc():
    symbols.check(native._PATH)
    assert "malloc" in dict(symbols.needed(native._PATH))


@needs_compiler
def test_a_symbol_of_a_newer_version_is_named(tmp_path):
    newer = compiled(tmp_path, "void *malloc(unsigned long); void *f(void) { return malloc(1); }")
    symbols.check(newer)
    # The version stands in the library as text; one byte more or less would move what follows.
    later, changes = re.subn(rb"GLIBC_2\.[\d.]+\0", lambda m: b"GLIBC_2.29".ljust(len(m[0]), b"\0"), newer.read_bytes())
    assert changes
    newer.write_bytes(later)
    with pytest.raises(Failure, match=r"malloc \(GLIBC_2\.29\).*tag would be untrue.*older distribution"):
        symbols.check(newer)


@needs_compiler
def test_a_library_that_is_not_everywhere_is_named(tmp_path):
    other = compiled(tmp_path, "int g;", "-Wl,-soname,libomp.so")
    other = other.rename(tmp_path / "libomp.so")
    needy = compiled(tmp_path, "extern int g; int f(void) { return g; }", f"-L{tmp_path}", "-l:libomp.so")
    with pytest.raises(Failure, match=r"needs libomp\.so, .*CC=gcc"):
        symbols.check(needy)


@pytest.mark.parametrize("version, old_enough", [
    ("GLIBC_2.2.5", True), ("GLIBC_2.28", True), ("GLIBC_2.29", False), ("GLIBC_2.3.4", True), ("GLIBC_3.0", False),
    ("GOMP_4.5", True), ("GOMP_5.0", False), ("OMP_4.5", True), ("OMP_5.0.1", False), ("GLIBC_PRIVATE", False),
    ("LIBOMP_1.0", False),
])  # fmt: skip
def test_versions_are_compared_by_their_numbers(version, old_enough):
    assert symbols._is_old_enough(version) is old_enough


def stand_in(path, version, venv=True):
    return program(path, f"echo {version}; exit {0 if venv else 1}")


def test_pythons_on_path_and_of_pyenv_are_found(tmp_path):
    on_path = stand_in(tmp_path / "bin" / "python3.11", "3.11")
    program(tmp_path / "bin" / "python3.8", "echo 'command not found' >&2; exit 127")  # a shim of pyenv
    for patch in ("3.8.9", "3.8.18"):
        newest = stand_in(tmp_path / "kept" / "versions" / patch / "bin" / "python3.8", "3.8")
    stand_in(tmp_path / "bin" / "python3.12", "3.12", venv=False)
    environ = {"PATH": str(tmp_path / "bin"), "PYENV_ROOT": str(tmp_path / "kept")}
    found, missing = pythons.find(environ=environ)
    assert found == {"3.8": newest, "3.11": on_path}
    assert list(missing) == ["3.12"] and "python3.12-venv" in missing["3.12"]
    with pytest.raises(Failure, match=r"(?s)not found:\n  python3\.12: .*python3\.12-venv.*--python /path/to"):
        pythons.find(required=True, environ=environ)


def test_without_any_python_nothing_is_tried(tmp_path):
    with pytest.raises(Failure, match=r"(?s)python3\.8: not on PATH\n.*python3\.12: not on PATH\nInstall one of them"):
        pythons.find(environ={"PATH": str(tmp_path), "HOME": str(tmp_path)})


def test_a_python_that_is_named_has_to_work(tmp_path):
    other = stand_in(tmp_path / "other", "3.10")
    found, missing = pythons.find([other], environ={"PATH": "", "HOME": str(tmp_path)})
    assert found == {"3.10": other} and list(missing) == list(pythons.WANTED)
    with pytest.raises(Failure, match=r"--python .*/none: .*No such file"):
        pythons.find([str(tmp_path / "none")])


def run_wheel(*arguments, **env):
    command = [sys.executable, str(ROOT / "scripts" / "wheel"), *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)


@needs_compiler
def test_a_missing_python_is_an_error_where_all_are_asked_for(tmp_path):
    for tool in ("cc", "readelf"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    only = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path), "CC": "cc"}
    named = stand_in(tmp_path / "my-python", "3.11")
    done = run_wheel("--all", "--python", named, **only)
    assert done.returncode == 1
    assert done.stderr.startswith("error: these Pythons were not found:\n  python3.8: not on PATH\n  python3.12: not")
    done = run_wheel("--python", str(tmp_path / "none"), **only)
    assert done.returncode == 1 and "--python" in done.stderr and "No such file" in done.stderr


@needs_compiler
def test_a_compiler_tied_to_one_processor_is_refused():
    done = run_wheel(CC="cc -march=native")
    assert done.returncode == 1
    assert "CC='cc -march=native': -march=native ties the wheel to one processor" in done.stderr
