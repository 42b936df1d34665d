"""The light core stays light: what a user has not asked for is not imported."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "monai",
    "fastapi",
    "cv2",
    "openvino",
    "pandas",
    "numpy",
    "pydicom",
    "matplotlib",
    "pydantic",
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
HELP_CPU_S = 0.5


def imported_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=ENVIRONMENT)
    return {name.split(".")[0] for name in done.stderr.split()}


def test_importing_radsnap_imports_nothing_heavy() -> None:
    assert imported_by("import radsnap") & set(HEAVY) == set()


def test_help_imports_nothing_heavy() -> None:
    code = "from radsnap.cli.app import main\nimport sys\nsys.argv = ['radsnap', '--help']\ntry: main()\nexcept SystemExit: pass"
    assert imported_by(code) & set(HEAVY) == set()


def test_diagnosing_needs_neither_torch_nor_a_web_framework() -> None:
    loaded = imported_by("import radsnap\nradsnap.diagnose\nradsnap.read")
    assert "cv2" in loaded  # the lazy names were really loaded
    assert loaded & {"torch", "monai", "onnx", "fastapi", "starlette", "matplotlib", "pandas"} == set()


def test_help_answers_at_once() -> None:
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "radsnap", "--help"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # processor time, not the clock's: other processes on the machine must not fail this test
    assert min(spent) < HELP_CPU_S


def test_public_names_are_complete_and_none_is_a_modules() -> None:
    code = (
        "import radsnap, importlib.util\n"
        "assert radsnap.__all__ == sorted(radsnap.__all__)\n"
        "assert set(radsnap._PUBLIC) <= set(radsnap.__all__) <= set(dir(radsnap))\n"
        "for name in radsnap._PUBLIC:\n"
        "    first = getattr(radsnap, name)\n"
        "    assert callable(first) and getattr(radsnap, name) is first, name\n"
        "    assert importlib.util.find_spec(f'radsnap.{name}') is None, name\n"
    )
    imported_by(code)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import radsnap

    with pytest.raises(AttributeError, match="module 'radsnap' has no attribute 'diagnosis'"):
        _ = radsnap.diagnosis
