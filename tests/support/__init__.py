"""Shared by tests: clones of the repository, made-up results, faults, a cluster, a browser."""
