"""The public surface: sorted, small, and all of it there."""

import importlib

import pytest


# A technique of compression is a function and a class of its parameters.
@pytest.mark.parametrize(
    ("name", "most"),
    [("edge_runtime", 12), ("converter", 12), ("compress", 40), ("federated", 12), ("cloud", 12)],
)
def test_all_is_sorted_complete_and_small(name, most):
    package = importlib.import_module(name)
    assert package.__all__ == sorted(package.__all__)
    assert len(package.__all__) <= most
    for member in package.__all__:
        assert getattr(package, member).__doc__, f"{name}.{member} has no docstring"
