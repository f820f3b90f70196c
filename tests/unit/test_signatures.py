"""Settings told from code are those that the classes take."""

import inspect
from pathlib import Path

import pytest

from support.clones import REPOSITORY
from topography import modules
from topography.workflow import signatures

PACKAGE = REPOSITORY / "scripts/topography"
ALL = [
    (kind, path.stem)
    for kind in ("architecture", "optimizer")
    for path in (PACKAGE / f"{kind}s").glob("[!_]*.py")
    if path.stem != "base"
]
SGD = {"learning_rate": True, "batch_size": True, "epochs": True, "momentum": False}
MINIBATCHES = ("warmup_epochs", "cosine_annealing", "weight_decay", "gradient_clip")


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_settings_of_the_repository_are_the_arguments_of_the_class(kind: str, name: str) -> None:
    module = __import__(f"topography.{kind}s.{name}", fromlist=[name])
    constructor = inspect.signature(getattr(module, kind.upper()))
    found = dict(signatures.settings_of(PACKAGE, kind, name))
    for setting, parameter in constructor.parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            assert found.pop(setting) == (parameter.default is inspect.Parameter.empty)
    # What is left are those of the base class, which the class takes as any others.
    given = {"learning_rate": 0.1, "batch_size": 1, "epochs": 2} if found else {}
    if found:
        assert set(found) == set(MINIBATCHES)
        modules.make(kind, name, given | {"warmup_epochs": 1, "weight_decay": 0.1})


def test_sgd_takes_the_settings_of_its_base() -> None:
    found = signatures.settings_of(PACKAGE, "optimizer", "sgd")
    assert found == SGD | dict.fromkeys(MINIBATCHES, False)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "class A:\n    def __init__(self, *, width, depth=2): ...",
            {"width": True, "depth": False},
        ),
        ("class A: ...", {}),
        ("class B:\n    def __init__(self, width): ...\nclass A(B): ...", {"width": True}),
        (
            "class B:\n    def __init__(self, width): ...\n"
            "class A(B):\n    def __init__(self, **others): super().__init__(**others)",
            {"width": False},
        ),
        ("from torch import nn\nclass A(nn.Module): ...", None),
        ("from torch.nn import Module\nclass A(Module): ...", None),
        ("from dataclasses import dataclass\n@dataclass\nclass A:\n    width: int", None),
        ("A = make_class()", None),
        ("class A(", None),
    ],
)
def test_what_code_does_not_tell_is_left_to_the_job(
    tmp_path: Path, code: str, expected: dict[str, bool] | None
) -> None:
    file = tmp_path / "topography/architectures/mine.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"{code}\nARCHITECTURE = A\n")
    assert signatures.settings_of(tmp_path / "topography", "architecture", "mine") == expected


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_modules_of_the_repository_name_their_class(kind: str, name: str) -> None:
    assert signatures.names_its_class(PACKAGE, kind, name)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("class A: ...", False),
        ("class A: ...\nprint(ARCHITECTURE)", False),
        ("ARCHITECTURE, OTHER = make()", True),
        ("from other import A as ARCHITECTURE", True),
        ("class A(", True),  # the fingerprint of its rule says what is wrong
    ],
)
def test_a_class_that_nothing_names_is_noticed(tmp_path: Path, code: str, expected: bool) -> None:
    file = tmp_path / "architectures/mine.py"
    file.parent.mkdir()
    file.write_text(code)
    assert signatures.names_its_class(tmp_path, "architecture", "mine") == expected


def test_a_dataset_says_that_it_reads_files_of_ones_own(tmp_path: Path) -> None:
    assert signatures.reads_own_files(PACKAGE, "text")
    assert not signatures.reads_own_files(PACKAGE, "mnist")
    assert not signatures.reads_own_files(tmp_path, "missing")


def test_a_module_without_a_class_tells_nothing(tmp_path: Path) -> None:
    assert signatures.settings_of(tmp_path, "architecture", "missing") is None
