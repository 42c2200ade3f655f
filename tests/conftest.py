"""What holds for every test."""

from hypothesis import settings

# How long an example takes says more about the machine than about the code: benchmarks measure, tests do not.
settings.register_profile("kdist", deadline=None)
settings.load_profile("kdist")
