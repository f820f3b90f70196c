"""The fingerprint of code changes with the program, and with nothing else."""

from pathlib import Path

import pytest

from support.clones import REPOSITORY
from topography.errors import TopographyError
from topography.workflow.fingerprint import WITHOUT_EFFECT, code_id, local_files

FILES = {
    "run.py": '"""Run."""\nimport numpy\nfrom package import tool\n\nprint(tool.VALUE)\n',
    "other.py": "import package.unused\n",
    "package/__init__.py": '"""Package."""\n',
    "package/tool.py": '"""Tool."""\nfrom . import part\nfrom .inner.deep import DEEP\n'
    'VALUE = part.VALUE + DEEP\n\ndef f():\n    """Doc."""\n    import package.late\n',
    "package/part.py": "VALUE = 1\n",
    "package/late.py": "",
    "package/unused.py": "",
    "package/named.py": "",
    "package/inner/__init__.py": "",
    "package/inner/deep.py": "from ..part import VALUE as DEEP\n",
}


def tree(folder: Path, **changes: str) -> Path:
    """A folder of scripts; changes by path with / and . written as __ and _."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(changes.get(name.replace("/", "__").replace(".", "_"), text))
    return folder


@pytest.fixture
def before(tmp_path: Path) -> str:
    return code_id(tree(tmp_path / "before"), "run.py", "package.named")


def after(tmp_path: Path, **changes: str) -> str:
    return code_id(tree(tmp_path / "after", **changes), "run.py", "package.named")


def test_the_files_are_those_that_run(tmp_path: Path) -> None:
    assert set(local_files(tree(tmp_path), "run.py", "package.named")) == {
        "run.py",
        "package",
        "package.tool",
        "package.part",
        "package.late",
        "package.inner",
        "package.inner.deep",
        "package.named",
    }


def test_the_place_of_the_folder_does_not_matter(tmp_path: Path, before: str) -> None:
    assert after(tmp_path) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"run_py": "# Comment\n" + FILES["run.py"].replace("Run.", "Run it.")},
        {"package__tool_py": FILES["package/tool.py"].replace("Doc.", "Another.")},
        {"package__part_py": "VALUE = (\n    1\n)\n"},
        {"package__part_py": '"""New docstring."""\n\nVALUE = 1\n'},
        {"package__unused_py": "VALUE = 1\n"},
        {"other_py": "VALUE = 1\n"},
    ],
)
def test_what_leaves_the_program_alone_leaves_the_fingerprint(
    tmp_path: Path, before: str, changes: dict[str, str]
) -> None:
    assert after(tmp_path, **changes) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"run_py": FILES["run.py"] + "print(1)\n"},
        {"package____init___py": "VALUE = 1\n"},
        {"package__part_py": "VALUE = 1.0\n"},
        {"package__part_py": "VALUE = True\n"},
        {"package__part_py": 'VALUE = "1"\n'},
        {"package__late_py": "VALUE = 1\n"},
        {"package__named_py": "VALUE = 1\n"},
        {"package__inner____init___py": "VALUE = 1\n"},
        {"package__inner__deep_py": "DEEP = 1\n"},
        {
            "package__tool_py": FILES["package/tool.py"].replace(
                '"""Doc."""', '"""Doc.""" "x"\n    f()'
            )
        },
    ],
)
def test_a_change_of_the_program_changes_the_fingerprint(
    tmp_path: Path, before: str, changes: dict[str, str]
) -> None:
    assert after(tmp_path, **changes) != before


def test_a_module_found_by_name_counts_only_where_it_is_named(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    assert code_id(folder, "run.py") != code_id(folder, "run.py", "package.named")


def test_the_fingerprint_is_the_same_in_every_version_of_python(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(
        "@decorated\n"
        "class C(B):\n"
        "    def f(self, a, /, b=None, *c, d: int = 0) -> str:\n"
        "        return f'{a!r:>{d}} {[x async for x in c]}'\n"
    )
    assert code_id(tmp_path, "run.py") == "8a1e8d378ca0445f"


@pytest.mark.parametrize(
    "script",
    [
        *("train.py", "import_weights.py", "select_runs.py", "sample_pairs.py", "find_paths.py"),
        *("converge_paths.py", "collect_barriers.py", "record_geometry.py", "landscape_2d.py"),
        *("weight_statistics.py", "vector_lengths.py", "kernel_pca.py"),
    ],
)
def test_what_computes_does_not_depend_on_printed_names(script: str) -> None:
    scripts = REPOSITORY / "scripts"
    modules = [
        f"topography.{kind}.{file.stem}"
        for kind in ("architectures", "optimizers")
        for file in (scripts / "topography" / kind).glob("[!_]*.py")
    ]
    assert "topography.naming" not in local_files(scripts, script, *modules)


def test_what_jobs_say_and_how_they_end_retrains_nothing() -> None:
    files = local_files(REPOSITORY / "scripts", "train.py", "topography.architectures.fcp")
    assert "topography.training" in files
    assert not files.keys() & WITHOUT_EFFECT
    scripts = REPOSITORY / "scripts"
    for name in WITHOUT_EFFECT:
        file = scripts.joinpath(*name.split("."))
        assert file.with_suffix(".py").is_file() or (file / "__init__.py").is_file()


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    with pytest.raises(TopographyError, match=r"missing\.py is missing"):
        code_id(folder, "missing.py")
    with pytest.raises(TopographyError, match=r"no module package\.absent .*absent\.py"):
        code_id(folder, "run.py", "package.absent")
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    with pytest.raises(TopographyError, match=r"broken\.py, line 2"):
        code_id(folder, "broken.py")
