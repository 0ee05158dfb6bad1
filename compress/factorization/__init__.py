"""Low-rank factorisation: one large layer becomes two or three small ones."""
