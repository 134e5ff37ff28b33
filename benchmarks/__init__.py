"""Measures the time and memory that pictures cost with this package and with other clients: `python -m benchmarks`.

The benchmarks are not part of the package, and the package does not import them.
"""
