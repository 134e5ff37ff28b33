"""Time and memory of one picture, next to the other ways of getting it: `python -m benchmarks`.

Nothing in here is part of the package, and nothing in the package knows of it.
"""
