"""Property tests: the same examples in every run, and no deadline, for machines differ and are shared."""

from hypothesis import settings

settings.register_profile("littoral", deadline=None, derandomize=True)
settings.load_profile("littoral")
