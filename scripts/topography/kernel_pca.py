"""Kernel PCA of solutions (section II.4)."""

KERNELS = ("rbf", "linear", "polynomial", "sigmoid", "pca")
