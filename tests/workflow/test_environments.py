"""The environments of --sdm conda hold what the rules need, in the versions of uv.lock."""

import re
import sys
import tomllib

import pytest
import yaml
from packaging.markers import Marker

from support.clones import REPOSITORY
from topography.workflow.fingerprint import imported_names, local_files

ENVIRONMENTS = sorted((REPOSITORY / "envs").glob("*.yaml"))
RULE_FILES = sorted((REPOSITORY / "rules").rglob("*.smk"))
LIBRARY = REPOSITORY / "scripts/topography"
PACKAGE_OF_MODULE = {"yaml": "pyyaml", "sklearn": "scikit-learn", "mpl_toolkits": "matplotlib"}


LOCK = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
WITHOUT_ENVIRONMENT = {"reproduction"}  # it tells the versions that are around Snakemake
LINUX_ONLY = "; sys_platform == 'linux'"


def content(name: str) -> tuple[str, list[str]]:
    """Python's version and the lines for pip of one environment."""
    dependencies = yaml.safe_load((REPOSITORY / "envs" / name).read_text())["dependencies"]
    python = next(entry for entry in dependencies if str(entry).startswith("python"))
    pip = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    return python.split("=")[1], pip


def pinned(name: str) -> set[str]:
    """Packages of one environment."""
    return {line.split(" ==")[0] for line in content(name)[1]}


def locked(names: set[str], python: str, platform: str) -> dict[str, str]:
    """Versions in uv.lock of these packages and of all that they need."""
    where = {
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": platform,
        "platform_machine": "x86_64",
    }

    def applies(marker: str | None) -> bool:
        return marker is None or Marker(marker).evaluate(where)

    versions: dict[str, str] = {}
    waiting = [(name, ()) for name in sorted(names)]
    done = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        (entry,) = (
            entry
            for entry in LOCK
            if entry["name"] == name
            and any(applies(marker) for marker in entry.get("resolution-markers", [None]))
        )
        versions[name] = entry["version"]
        needed = list(entry.get("dependencies", []))
        for extra in extras:
            needed += entry["optional-dependencies"].get(extra, [])
        waiting += [
            (item["name"], tuple(item.get("extra", ())))
            for item in needed
            if applies(item.get("marker"))
        ]
    return versions


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_all_that_pip_installs_is_pinned_as_in_the_lock_file(path) -> None:
    python, lines = content(path.name)
    names = {line.split(" ==")[0] for line in lines}
    needed = locked(names, python, "linux")
    elsewhere = locked(names - set(only_on_linux(lines)), python, "darwin")
    expected = [
        f"{name} =={version}{'' if name in elsewhere else LINUX_ONLY}"
        for name, version in sorted(needed.items())
    ]
    assert sorted(lines) == expected, "\n".join(["write:", *expected])


def only_on_linux(lines: list[str]) -> list[str]:
    return [line.split(" ==")[0] for line in lines if line.endswith(LINUX_ONLY)]


def test_no_explicit_pins_hide_what_pip_installs() -> None:
    # Snakemake installs from such a file instead of the YAML file, and leaves out what is for pip.
    assert list((REPOSITORY / "envs").glob("*.pin.txt")) == []


def rules() -> list[tuple[str, str, str]]:
    """(rule, environment, script) of every rule that calls a script."""
    found = []
    for file in RULE_FILES:
        for block in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            name = block.split(":")[0]
            script = re.search(r"python scripts/(\w+\.py)", block)
            if script and name not in WITHOUT_ENVIRONMENT:
                environment = re.search(r"\.\./envs/(\w+\.yaml)", block)[1]
                found.append((name, environment, script[1]))
    return found


@pytest.mark.parametrize(("rule", "environment", "script"), rules())
def test_the_environment_of_a_rule_has_what_its_code_imports(
    rule: str, environment: str, script: str
) -> None:
    by_name = {
        "train_networks": ["architectures", "optimizers"],
        "find_paths": ["architectures"],
        "converge_paths": ["architectures"],
        "record_geometry": ["architectures", "optimizers"],
        "import_networks": ["architectures"],
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
    assert packages <= pinned(environment)


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
