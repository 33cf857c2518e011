"""Benchmarks of the hub: ratios against a peer or a floor, measured in one run (see ``hub bench``)."""
