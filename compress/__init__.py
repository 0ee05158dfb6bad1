"""From a float model to the best one for a target: steps, recipes, and the check of what they did."""

from compress.compress import Compressed, compress
from compress.fidelity import Fidelity
from compress.pruning.prune import Prune, prune
from compress.pruning.sparsify import Sparsify
from compress.quantization.cluster import Cluster, cluster
from compress.quantization.quantize import Quantize, quantize
from compress.recipe import Optimize, Recipe

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
