"""The sets of solutions: those of every optimizer, and those that the paper compares.

Apart from how they are printed (`naming`), so that a label reruns nothing that computes.
"""

# Every optimizer has a set at each of the two minima: of its train loss and of its test loss.
CHECKPOINTS = ("train", "test")

# The pairs of sets that the paper sets side by side: Figs. 5 and 6, then Figs. S3 and S4.
COMPARISONS = ("lbfgs_train-sgd_test", "lbfgs_test-sgd_test")
