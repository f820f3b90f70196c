"""Plain, slow, obviously right versions of what the engine does in batches.

Written from the specification alone: one network, one point, one pair at a time, with ordinary
PyTorch modules, Python loops and autograd. The tests compare the engine with these.
"""
