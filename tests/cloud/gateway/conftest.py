"""Digits and small bundles, as the tests of federated learning have them."""

from tests.federated.conftest import digits, held_out, linear, mnist  # noqa: F401  (fixtures)
