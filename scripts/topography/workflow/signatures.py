"""What a module tells of itself, without running it: which settings an architecture or optimizer
takes, whether a dataset is made of the user's own files.

Importing the modules would import torch, which takes seconds and which the process of Snakemake can
do without. The syntax tree says nearly as much; where it does not, the job still does.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

WITHOUT_SETTINGS = ("ABC", "object")


@functools.cache
def settings_of(package: Path, kind: str, name: str) -> Mapping[str, bool] | None:
    """Settings of the class in `<kind>s/<name>.py`, and whether each must be given.

    package: folder of `topography`. kind: "architecture" or "optimizer". None where the code does
    not tell: a class that is made by a call or a decorator, or that derives from one of elsewhere.
    Kept for the life of the process: a configuration asks for the same few hundreds of times.
    """
    tree = _parsed(package / f"{kind}s" / f"{name}.py")
    for node in tree.body if tree else ():
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Name):
            continue
        if [ast.unparse(target) for target in node.targets] == [kind.upper()]:
            return _settings_of_class(package, tree, node.value.id)
    return None


def names_its_class(package: Path, kind: str, name: str) -> bool:
    """Whether `<kind>s/<name>.py` gives a value to ARCHITECTURE or OPTIMIZER; true where its code
    cannot be read.
    """
    tree = _parsed(package / f"{kind}s" / f"{name}.py")
    if tree is None:
        return True
    names = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return kind.upper() in names


@functools.cache
def reads_own_files(package: Path, dataset: str) -> bool:
    """Whether `datasets/<dataset>.py` says READS_OWN_FILES = True."""
    tree = _parsed(package / "datasets" / f"{dataset}.py")
    return any(
        ast.unparse(node) == "READS_OWN_FILES = True" for node in (tree.body if tree else ())
    )


def _settings_of_class(package: Path, tree: ast.Module, name: str) -> dict[str, bool] | None:
    if name in WITHOUT_SETTINGS:
        return {}
    found = _definition(package, tree, name)
    if found is None or found[1].decorator_list:
        return None
    tree, definition = found
    written = next((node for node in definition.body if _is_constructor(node)), None)
    if written is not None and written.args.kwarg is None:
        return dict(_parameters(written.args))
    inherited: dict[str, bool] = {}
    for base in definition.bases:
        settings = _settings_of_class(package, tree, ast.unparse(base))
        if settings is None:
            return None
        inherited = settings | inherited  # Python asks the bases from left to right
    if written is None:
        return inherited
    # What goes on to a base as **others; what the base needs may be given to it by the code.
    return dict.fromkeys(inherited, False) | dict(_parameters(written.args))


def _definition(
    package: Path, tree: ast.Module, name: str
) -> tuple[ast.Module, ast.ClassDef] | None:
    """A class by its name in a module, with the module it stands in; it may be imported there."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return tree, node
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                other = _parsed(package.parent.joinpath(*node.module.split(".")).with_suffix(".py"))
                if name == (alias.asname or alias.name) and other is not None:
                    return _definition(package, other, alias.name)
    return None


def _is_constructor(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _parameters(arguments: ast.arguments) -> Iterator[tuple[str, bool]]:
    """Names that may be given, without `self`, and whether each must be."""
    by_place = [*arguments.posonlyargs, *arguments.args]
    needed = len(by_place) - len(arguments.defaults)
    yield from ((one.arg, place < needed) for place, one in enumerate(by_place) if place)
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield one.arg, default is None


@functools.cache
def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # the fingerprint of its rule says what is wrong
