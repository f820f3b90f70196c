"""Kernel principal components of solutions (section II.4 of the paper)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from topography.analysis.sets import COMPARISONS
from topography.analysis.weight_statistics import require_comparable

# The paper uses the first; it says of the others that they do not separate the sets.
KERNELS = ("rbf", "linear", "polynomial", "sigmoid", "pca")
SCIKIT_LEARN_NAMES = {"polynomial": "poly"}
COMPONENTS = 2


def principal_components(vectors: np.ndarray, kernel: str) -> np.ndarray:
    """Project vectors on the first two kernel principal components.

    The kernel matrix is centred, its eigenvectors scaled to the length of the features they stand
    for. The kernels, all with gamma = 1 / P:

    - rbf: exp(-gamma |x - x'|^2), the paper's 2 sigma^2 = N_prm;
    - linear: x.x';
    - polynomial: (gamma x.x' + 1)^3 and sigmoid: tanh(gamma x.x' + 1), where the paper gives no
      constants and these are scikit-learn's;
    - pca: no kernel, plain PCA (the same projection as the linear kernel, by another road).

    Args:
        vectors: [N, P].
        kernel: one of ``KERNELS``.

    Returns:
        float64 [N, 2]. The sign of a component is free; here its largest entry is positive.
    """
    from sklearn.decomposition import PCA, KernelPCA  # here: seconds to import, not for figures

    vectors = vectors.astype(np.float64)
    if kernel == "pca":
        method = PCA(n_components=COMPONENTS, svd_solver="full")
    else:
        method = KernelPCA(
            n_components=COMPONENTS,
            kernel=SCIKIT_LEARN_NAMES.get(kernel, kernel),
            gamma=1 / vectors.shape[1],
            eigen_solver="dense",  # the others start from random vectors
        )
    return with_fixed_signs(method.fit_transform(vectors))


def with_fixed_signs(components: np.ndarray) -> np.ndarray:
    """Turn each column [N, K] so that its entry of largest magnitude is positive."""
    largest = np.abs(components).argmax(axis=0)
    signs = np.sign(components[largest, np.arange(components.shape[1])])
    return components * np.where(signs == 0, 1, signs)


def one_of_each_seed(
    first_seeds: Sequence[int], second_seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Which networks of two sets are projected, two masks: of a seed that both have, the one in
    the set that has fewer so far.

    Networks of one seed started from the same weights, and stay so much alike that the components
    tell seeds apart and not optimizers.
    """
    shared = sorted(set(first_seeds) & set(second_seeds))
    chosen = [set(seeds) - set(shared) for seeds in (first_seeds, second_seeds)]
    for seed in shared:
        min(chosen, key=len).add(seed)
    first, second = (
        np.isin(seeds, list(own))
        for seeds, own in zip((first_seeds, second_seeds), chosen, strict=True)
    )
    return first, second


def projection_table(
    sets: Mapping[str, Mapping[str, np.ndarray]], kernels: Sequence[str]
) -> pd.DataFrame:
    """Projections of every comparison of two sets with every kernel (Figs. 6, S4), of networks
    with different seeds.

    Args:
        sets: set -> ``weights`` [keep, P] and ``seeds`` [keep].
        kernels: some of ``KERNELS``.

    Returns:
        Rows ``comparison``, ``kernel``, ``set``, ``seed``, ``pc1``, ``pc2``.

    Raises:
        WeightError: a set is missing or the sets are not of one architecture.
    """
    compared = [tuple(comparison.split("-")) for comparison in COMPARISONS]
    require_comparable(sets, tuple(dict.fromkeys(name for names in compared for name in names)))
    tables = []
    for names in compared:
        masks = one_of_each_seed(*(sets[name]["seeds"].tolist() for name in names))
        projected = list(zip(names, masks, strict=True))
        vectors = np.concatenate([sets[name]["weights"][mask] for name, mask in projected])
        origin = np.repeat(names, [mask.sum() for mask in masks])
        seeds = np.concatenate([sets[name]["seeds"][mask] for name, mask in projected])
        for kernel in kernels:
            components = principal_components(vectors, kernel)
            tables.append(
                pd.DataFrame(
                    {
                        "comparison": "-".join(names),
                        "kernel": kernel,
                        "set": origin,
                        "seed": seeds,
                        "pc1": components[:, 0],
                        "pc2": components[:, 1],
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)
