"""The package on a device: numpy is enough until an app or a run is asked for."""

import subprocess
import sys

import pytest

import federated

CODE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("flwr", "matplotlib", "onnx", "torch", "ray"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import numpy as np
from federated import Settings, Update, dirichlet, federated_average, iid, sample_clients
from federated import cli, local, outputs
print(federated_average([Update.of({"w": np.ones(2)}, 3)])["w"].sum(), len(iid(10, 2, 0)), cli.FEDERATE.name)
"""


def test_imports_without_flower():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2.0", "2", "federate"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'federat'"):
        federated.federat  # noqa: B018


def test_the_docstrings_run():
    import doctest

    from federated import aggregate

    assert doctest.testmod(aggregate).failed == 0
