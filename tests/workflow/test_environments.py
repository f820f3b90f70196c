"""The environments of --sdm conda hold what the rules need, in the versions of uv.lock."""

import re
import sys
import tomllib

import pytest
import yaml
from packaging.markers import Marker

from clones import REPOSITORY
from topography.fingerprint import imported_names, local_files

ENVIRONMENTS = sorted((REPOSITORY / "envs").glob("*.yaml"))
RULE_FILES = sorted((REPOSITORY / "rules").glob("*.smk"))
LIBRARY = REPOSITORY / "scripts/topography"
PACKAGE_OF_MODULE = {"sklearn": "scikit-learn", "mpl_toolkits": "matplotlib"}


def pinned(name: str) -> dict[str, str]:
    """Versions by package of one environment; "python" is among them."""
    content = yaml.safe_load((REPOSITORY / "envs" / name).read_text())
    python = next(entry for entry in content["dependencies"] if str(entry).startswith("python"))
    pip = next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict))
    versions = dict(entry.split(" ==") for entry in pip)
    return {**versions, "python": python.split("=")[1]}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_versions_agree_with_the_lock_file(path) -> None:
    locked = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    versions = pinned(path.name)
    python = versions.pop("python")
    where = {"python_full_version": f"{python}.0", "python_version": python}
    for package, version in versions.items():
        possible = [
            entry["version"]
            for entry in locked
            if entry["name"] == package
            and any(
                Marker(marker).evaluate({**where, "sys_platform": "linux"})
                for marker in entry.get("resolution-markers", ["python_version > '3'"])
            )
        ]
        assert version in possible, f"{package} is {possible} in uv.lock"


def rules() -> list[tuple[str, str, str]]:
    """(rule, environment, script) of every rule that calls a script."""
    found = []
    for file in RULE_FILES:
        for block in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            environment = re.search(r"\.\./envs/(\w+\.yaml)", block)[1]
            script = re.search(r"python scripts/(\w+\.py)", block)
            if script:
                found.append((block.split(":")[0], environment, script[1]))
    return found


@pytest.mark.parametrize(("rule", "environment", "script"), rules())
def test_the_environment_of_a_rule_has_what_its_code_imports(
    rule: str, environment: str, script: str
) -> None:
    by_name = {
        "train_networks": ["architectures", "optimizers"],
        "find_paths": ["architectures"],
        "prepare_dataset": ["datasets"],
    }
    modules = [
        f"topography.{kind}.{file.stem}"
        for kind in by_name.get(rule, [])
        for file in (LIBRARY / kind).glob("[!_]*.py")
    ]
    files = local_files(LIBRARY.parent, script, *modules)
    names = {
        imported.split(".")[0]
        for module, path in files.items()
        for imported in imported_names(path, "" if module == script else module)
    }
    outside = names - set(sys.stdlib_module_names) - {"topography"}
    packages = {PACKAGE_OF_MODULE.get(name, name) for name in outside}
    assert packages <= set(pinned(environment))


def test_every_environment_is_used_and_every_used_one_exists() -> None:
    used = {
        name for file in RULE_FILES for name in re.findall(r"\.\./envs/([\w.]+)", file.read_text())
    }
    assert used == {path.name for path in ENVIRONMENTS}


def test_every_caption_exists_and_is_used() -> None:
    used = {
        name
        for file in RULE_FILES
        for name in re.findall(r"\.\./docs/captions/([\w.]+)", file.read_text())
    }
    assert used == {path.name for path in (REPOSITORY / "docs/captions").iterdir()}
