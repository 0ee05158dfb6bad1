"""Finding the recipe that meets a budget: candidates, what they cost, successive halving, local refinement."""
