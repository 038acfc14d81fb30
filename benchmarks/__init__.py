"""Measurements side by side with a reference, in one run; `python -m benchmarks` does all of them."""
