"""From a float model to the best one for a target: steps, recipes, and the check of what they did."""

from compress.compress import Compressed, compress
from compress.fidelity import Fidelity
from compress.quantize import Quantize, quantize
from compress.recipe import Optimize, Recipe

__all__ = ["Compressed", "Fidelity", "Optimize", "Quantize", "Recipe", "compress", "quantize"]
