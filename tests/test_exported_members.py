"""The public surface: sorted, small, and all of it there."""

import importlib

import pytest


@pytest.mark.parametrize("name", ["edge_runtime", "converter", "compress", "federated"])
def test_all_is_sorted_complete_and_small(name):
    package = importlib.import_module(name)
    assert package.__all__ == sorted(package.__all__)
    assert len(package.__all__) <= 12
    for member in package.__all__:
        assert getattr(package, member).__doc__, f"{name}.{member} has no docstring"
