"""Fingerprints of source code, so that an edit reruns exactly the stages that use it.

Snakemake sees neither an edit of a script called from a shell command nor one of a module that the
script imports. Each rule therefore carries the fingerprint of its code as a parameter. It is taken
from the syntax trees, without docstrings: comments, formatting, docstrings and file times change
nothing; any other edit does. A process reads each file once, and sees it as it was then.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from topography.errors import TopographyError

# Modules that no number depends on: what jobs read and say, how they end, how edits are noticed.
WITHOUT_EFFECT = {
    "topography.errors",
    "topography.jobs.command_line",
    "topography.jobs.orphans",
    "topography.progress",
    "topography.workflow",
    "topography.workflow.fingerprint",
}
_LENGTH = 16  # hexadecimal digits: enough to tell a few thousand versions apart, short in a log


@functools.cache
def code_id(folder: Path, script: str, *modules: str) -> str:
    """Fingerprint of a script and of all local modules that run with it, 16 hexadecimal digits.

    folder: where the scripts lie; only modules below it count.
    script: file name in that folder, such as ``train.py``.
    modules: dotted names of further modules, for those that the script finds by name when it runs,
        such as ``topography.architectures.lenet``.

    Raises:
        TopographyError: a file is missing or is not valid Python.
    """
    digest = hashlib.sha256()
    for name, path in sorted(local_files(folder, script, *modules).items()):
        digest.update(f"{name}={_tree_digest(path)}\n".encode())
    return digest.hexdigest()[:_LENGTH]


def local_files(folder: Path, script: str, *modules: str) -> dict[str, Path]:
    """The files behind a fingerprint, by dotted name, but for those `WITHOUT_EFFECT`; arguments and
    errors as for `code_id`."""
    files = {script: folder / script}
    for name in modules:
        files |= _module_files(folder, name, required=True)
    waiting = list(files.items())
    while waiting:
        name, path = waiting.pop()
        for imported in imported_names(path, name if name != script else ""):
            for found in _module_files(folder, imported).items():
                if found[0] not in files and found[0] not in WITHOUT_EFFECT:
                    files[found[0]] = found[1]
                    waiting.append(found)
    return files


@functools.cache
def _module_files(folder: Path, name: str, required: bool = False) -> dict[str, Path]:
    """Files that run when ``name`` is imported: its own, and ``__init__`` of each parent package.

    Empty where there is no such local module: an installed package, or a name inside a module.
    """
    parts = name.split(".")
    files = {}
    for depth in range(1, len(parts) + 1):
        base = folder.joinpath(*parts[:depth])
        candidates = [base / "__init__.py", base.with_suffix(".py")]
        found = next((path for path in candidates if path.is_file()), None)
        if found is not None:
            files[".".join(parts[:depth])] = found
        elif depth == len(parts) and required:
            raise TopographyError(
                f"no module {name} below {folder}; expected {candidates[1]}. Create it, or correct "
                "the name in the configuration."
            )
    return files


@functools.cache
def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except FileNotFoundError:
        raise TopographyError(f"{path} is missing; restore it from the repository.") from None
    except SyntaxError as error:
        raise TopographyError(
            f"{path}, line {error.lineno}: {error.msg}. Correct the Python code there."
        ) from None


@functools.cache
def imported_names(path: Path, module: str) -> frozenset[str]:
    """Dotted names that the file imports, anywhere in it; ``module`` is its own dotted name.

    ``from a import b`` gives both ``a`` and ``a.b``, since b may be a module.
    """
    return frozenset(_imports(path, module))


def _imports(path: Path, module: str) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: each dot after the first goes up one package
                parents = package.split(".")[: len(package.split(".")) - (node.level - 1)]
                base = ".".join([*parents, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def _tree_digest(path: Path) -> str:
    return hashlib.sha256(_described(_parsed(path)).encode()).hexdigest()


def _described(node: object) -> str:
    """Text of a syntax tree without docstrings, positions and empty fields.

    Python's own ``ast.dump`` changes between versions as optional fields come and go; leaving out
    the empty ones keeps results valid when Python is upgraded.
    """
    if isinstance(node, ast.Constant):
        return f"Constant({node.value!r})"
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and _has_docstring(node):
                value = value[1:]
            if value is not None and value != []:
                fields.append(f"{name}={_described(value)}")
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_described, node))}]"
    return repr(node)


def _has_docstring(node: ast.AST) -> bool:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
