"""From a float model to the best one for a target: steps, recipes, and the check of what they did."""

from compress.cluster import Cluster, cluster
from compress.compress import Compressed, compress
from compress.fidelity import Fidelity
from compress.prune import Prune, prune
from compress.quantize import Quantize, quantize
from compress.recipe import Optimize, Recipe
from compress.sparsify import Sparsify

__all__ = [
    "Cluster",
    "Compressed",
    "Fidelity",
    "Optimize",
    "Prune",
    "Quantize",
    "Recipe",
    "Sparsify",
    "cluster",
    "compress",
    "prune",
    "quantize",
]
