"""All that imports Flower: its apps, grids and strategies around what is pure NumPy in the rest of the package."""
