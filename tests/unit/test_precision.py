"""Matrix products of lower precision: only these, only inside, and never in what is measured."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from reference import data
from topography.architectures import get_architecture
from topography.device import set_up_processor
from topography.jobs.converged_searches import COLUMNS, ConvergenceSettings, search
from topography.jobs.path_searches import PathSettings, find_and_measure
from topography.objective import Objective
from topography.paths import Paths, find_paths
from topography.precision import BFLOAT16, EXACT, TF32, matrix_products, product_type
from topography.training import initial_params

CPU = torch.device("cpu")
SETTINGS = PathSettings(
    terms=3,
    points=6,
    fine_points=11,
    penalty=1e-4,
    steps=4,
    learning_rate=0.01,
    keep="last",
    images_per_step=None,
    images_seed=0,
    precision="fast",
)
PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mm": torch.mm,
    "matmul": torch.matmul,
    "operator": lambda left, right: left @ right,
    "bmm": lambda left, right: torch.bmm(left[None], right[None])[0],
    "out": lambda left, right: torch.mm(left, right, out=torch.empty(5, 4)),
}


def has_bfloat16(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    """Make the processor one with or without instructions for bfloat16."""
    capabilities = {"avx512_f": True, "avx512_bf16": present, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


def factors(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Two matrices [5, 300] and [300, 4] of numbers around 1."""
    stream = torch.Generator().manual_seed(0)
    left = torch.rand(5, 300, generator=stream, dtype=torch.float64) + 0.5
    right = torch.rand(300, 4, generator=stream, dtype=torch.float64) + 0.5
    return left.to(dtype), right.to(dtype)


def rounded(values: Tensor) -> Tensor:
    """The values with 8 significant binary digits, by arithmetic on their fractions."""
    fractions, exponents = torch.frexp(values.double())
    return torch.ldexp((fractions * 2**8).round(), exponents - 8)


@pytest.mark.parametrize("name", PRODUCTS)
def test_bfloat16_products_are_sums_of_products_of_rounded_factors(name: str) -> None:
    left, right = factors()
    exact = PRODUCTS[name](left, right)
    with matrix_products(BFLOAT16):
        product = PRODUCTS[name](left, right)
    assert product.dtype == torch.float32
    # The sum may round the other way where it lies halfway: one step of 8 binary digits.
    torch.testing.assert_close(
        product.double(), rounded(left) @ rounded(right), rtol=2**-8, atol=0.0
    )
    assert torch.equal(product.double(), rounded(product))
    assert not torch.equal(product, exact)
    assert torch.equal(PRODUCTS[name](left, right), exact)


def test_all_else_stays_exact() -> None:
    """Products in float64, products that are added to a given sum, and other functions."""
    left, right = factors()
    wide_left, wide_right = factors(torch.float64)
    given = torch.ones(5, 4)

    def computed() -> list[Tensor]:
        return [
            wide_left @ wide_right,
            torch.addmm(given, left, right),
            torch.baddbmm(given[None], left[None], right[None]),
            given[None].clone().baddbmm_(left[None], right[None]),
            left + right.T[0],
            left.exp(),
        ]

    with matrix_products(BFLOAT16):
        inside = computed()
    for here, there in zip(inside, computed(), strict=True):
        assert torch.equal(here, there)


@pytest.mark.parametrize("before", ["none", "ieee", "tf32"])
def test_tf32_is_switched_on_inside_only(before: str) -> None:
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    originals = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = before
    try:
        with matrix_products(TF32):
            assert [switch.fp32_precision for switch in switches] == ["tf32"] * 2
        assert [switch.fp32_precision for switch in switches] == [before] * 2
        with pytest.raises(KeyError), matrix_products(TF32):
            raise KeyError
        assert [switch.fp32_precision for switch in switches] == [before] * 2
    finally:
        for switch, original in zip(switches, originals, strict=True):
            switch.fp32_precision = original


def test_convolutions_on_a_gpu_are_of_float32_unless_asked() -> None:
    """torch takes TF32 for them, other than for matrix products."""
    conv = torch.backends.cudnn.conv
    original = conv.fp32_precision
    try:
        set_up_processor(torch.get_num_threads())
        assert conv.fp32_precision == "ieee"
    finally:
        conv.fp32_precision = original


def test_exact_leaves_torch_alone() -> None:
    left, right = factors()
    with matrix_products(EXACT):
        inside = left @ right
        setting = torch.backends.cuda.matmul.fp32_precision
    assert torch.equal(inside, left @ right)
    assert setting == torch.backends.cuda.matmul.fp32_precision


def test_an_error_ends_bfloat16_too() -> None:
    left, right = factors()
    exact = left @ right
    with pytest.raises(KeyError), matrix_products(BFLOAT16):
        raise KeyError
    assert torch.equal(left @ right, exact)


def test_what_fast_means_depends_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    has_bfloat16(monkeypatch, True)
    assert product_type("fast", CPU) == BFLOAT16
    assert product_type("fast", gpu) == TF32
    assert product_type("exact", CPU) == product_type("exact", gpu) == EXACT
    has_bfloat16(monkeypatch, False)
    assert product_type("fast", CPU) == EXACT


def test_another_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="half"):
        product_type("half", CPU)


def test_converged_searches_have_the_precision_of_the_first_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    landscape = Objective(get_architecture("fcp"), *data.random_images(11, dtype=torch.float32))
    weights = initial_params(landscape.architecture, [0, 1])
    for _ in range(300):  # so that there is a barrier, and not the ends are the highest
        weights -= 0.05 * landscape.losses_and_gradients(weights)[1]
    has_bfloat16(monkeypatch, True)

    def heights(precision: str) -> Tensor:
        chosen = ConvergenceSettings(
            first=replace(SETTINGS, precision=precision),
            terms=[3],
            doublings=1,
            tolerance=0.05,
            points=3,
            learning_rate=0.01,
            images_per_step=None,
        )
        rows = search(landscape, weights, torch.tensor([[0, 1]]), chosen)
        return torch.from_numpy(rows[:, COLUMNS.index("fine_height")])

    exact, fast = heights("exact"), heights("fast")
    assert not torch.equal(fast, exact)
    assert torch.allclose(fast, exact, rtol=0.02)


@pytest.mark.parametrize("name", ["fcp", "autoencoder"])
def test_fast_paths_are_measured_exactly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found with other products than exact ones, and measured to the last bit as float32 does."""
    images, labels = data.random_images(11, seed=8, dtype=torch.float32)
    landscape = Objective(get_architecture(name), images, labels)
    weights = initial_params(landscape.architecture, [0, 1])
    pairs = torch.tensor([[0, 1]])
    has_bfloat16(monkeypatch, True)
    fast = find_and_measure(landscape, weights, pairs, SETTINGS, 1)
    exact = find_and_measure(landscape, weights, pairs, replace(SETTINGS, precision="exact"), 1)
    found = find_paths(
        landscape,
        weights[:1],
        weights[1:],
        terms=3,
        points=6,
        steps=4,
        learning_rate=0.01,
        keep="last",
    )
    assert torch.equal(exact["coefficients"], found.coefficients)
    assert not torch.equal(fast["coefficients"], exact["coefficients"])
    assert torch.allclose(fast["losses"], exact["losses"], rtol=0.02)
    paths = Paths(weights[:1], weights[1:], fast["coefficients"], fast["step_losses"])
    assert torch.equal(fast["fine_losses"], paths.losses(landscape, 11))
    assert torch.equal(fast["straight_losses"], exact["straight_losses"])
