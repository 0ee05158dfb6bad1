"""From a float model to the best one for a target: steps, recipes, the search within a budget, and the check."""

from compress.budget import Budget
from compress.compress import Compressed, apply, compress
from compress.factorization.factorize import Factorize, factorize
from compress.fidelity import Fidelity
from compress.pruning.perforate import Perforate
from compress.pruning.prune import Prune, prune
from compress.pruning.sparsify import Sparsify, sparsify
from compress.quantization.cluster import Cluster, cluster
from compress.quantization.dynamic import Dynamic, quantize_dynamic
from compress.quantization.equalize import Equalize, equalize
from compress.quantization.half import Half, halve
from compress.quantization.quantize import Quantize, quantize
from compress.quantization.rounding import Rounding, learn_rounding
from compress.quantization.sensitivity import MixedPrecision, mix_precision
from compress.quantization.split import SplitOutliers, split_outliers
from compress.quantization.weight_only import WeightOnly, quantize_weights
from compress.recipe import Optimize, Recipe
from compress.step import Step, Work
from compress.training.aware import QuantizationAware, train_quantized
from compress.training.distill import Distill, distill
from compress.training.retrain import Retrain, retrain

__all__ = [
    "Budget",
    "Cluster",
    "Compressed",
    "Distill",
    "Dynamic",
    "Equalize",
    "Factorize",
    "Fidelity",
    "Half",
    "MixedPrecision",
    "Optimize",
    "Perforate",
    "Prune",
    "QuantizationAware",
    "Quantize",
    "Recipe",
    "Retrain",
    "Rounding",
    "Sparsify",
    "SplitOutliers",
    "Step",
    "WeightOnly",
    "Work",
    "apply",
    "cluster",
    "compress",
    "distill",
    "equalize",
    "factorize",
    "halve",
    "learn_rounding",
    "mix_precision",
    "prune",
    "quantize",
    "quantize_dynamic",
    "quantize_weights",
    "retrain",
    "sparsify",
    "split_outliers",
    "train_quantized",
]
