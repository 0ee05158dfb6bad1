"""The environments of NPU vendors' toolkits, for tests: one that cannot be made fails, for it was asked for."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import npu_toolkits
from benchmarks.peers.environment import InstallError

ROOT = Path(__file__).parents[2]


def python(name: str) -> Path:
    """The Python of an environment; a test without it fails, since `make test-npu` asked for it."""
    try:
        return npu_toolkits.python(name)
    except InstallError as error:
        pytest.fail(f"the environment '{name}' cannot be made: {error}")


def run(name: str, code: str, **variables: str) -> str:
    """What a program prints in an environment that sees this package and nothing else of this Python's."""
    call = [python(name), "-c", code]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
