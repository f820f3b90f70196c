"""Input from elsewhere cannot run code: files hold no pickles, settings meet no bare shell."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

from support.clones import REPOSITORY
from topography.workflow import configuration, configuration_checks
from topography.workflow.configuration import ConfigurationError

SOURCES = sorted((REPOSITORY / "scripts").rglob("*.py"))
RULE_FILES = [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "rules").rglob("*.smk"))]
# Modules whose files can hold code, and calls that read such files, run text, or use a shell.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "system", "popen", "unsafe_load", "full_load"}
# Calls that are safe with one keyword only.
SAFE_WITH = {"np.load": "allow_pickle", "numpy.load": "allow_pickle", "torch.load": "weights_only"}
# What a command may hold without quotes: numbers and choices by the schema or by a constraint.
PLAIN = {
    *["wildcards.first", "wildcards.last", "wildcards.landscape", "threads"],
    *["params.images[train]", "params.images[test]", "params.keep", "params.seed"],
}


def dangers(source: str) -> Iterator[str]:
    """What a Python source does that could run code from a file or a text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            yield from (name for name in names if name.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        if call in CALLS or call.rpartition(".")[2] in METHODS or call == "yaml.load":
            yield call
        if any(
            word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords
        ):
            yield call
        for name, keyword in SAFE_WITH.items():
            safe = {word.arg: ast.unparse(word.value) for word in node.keywords}
            wanted = "False" if keyword == "allow_pickle" else "True"
            if call == name and safe.get(keyword) != wanted:
                yield call


def test_no_source_loads_pickles_or_runs_text() -> None:
    assert len(SOURCES) > 40
    found = {path.name: list(dangers(path.read_text())) for path in SOURCES}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle",
        "from joblib import load",
        "import numpy as np; np.load('a.npy', allow_pickle=True)",
        "torch.load('a.pt')",
        "torch.load('a.pt', weights_only=False)",
        "pandas.read_pickle('a')",
        "yaml.load(text)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(bad: str) -> None:
    assert list(dangers(bad))
    assert not list(dangers("import numpy as np; np.load('a.npy', allow_pickle=False)"))


def test_a_configuration_file_makes_no_objects(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f'pairs: !!python/object/apply:os.mkdir ["{tmp_path}/pwned"]\n')
    with pytest.raises(WorkflowError, match="not valid"):
        load_configfile(file)
    assert not (tmp_path / "pwned").exists()


def unquoted(rules: str) -> set[str]:
    """The placeholders of all commands of a rule file that are not quoted."""
    found = set()
    for command in re.findall(r'^    shell:\n((?: {8}".*"\n)+)', rules, re.MULTILINE):
        found |= {name for name in re.findall(r"\{([^{}]+)\}", command) if not name.endswith(":q")}
    return found


def test_values_in_commands_are_quoted_or_cannot_need_it() -> None:
    rules = "".join(path.read_text() for path in RULE_FILES)
    commands = len(re.findall(r"^    shell:", rules, re.MULTILINE))
    assert commands == len(re.findall(r'^    shell:\n(?: {8}".*"\n)+', rules, re.MULTILINE)) > 10
    assert unquoted(rules) <= PLAIN
    assert unquoted('    shell:\n        "cp {input:q} {params.x}"\n') == {"params.x"}


def test_every_job_is_a_direct_child_of_snakemake() -> None:
    """Or it could not tell when Snakemake is gone (topography.jobs.orphans)."""
    rules = "".join(path.read_text() for path in RULE_FILES)
    commands = re.findall(r'^    shell:\n {8}"(.*)"', rules, re.MULTILINE)
    for command in commands:
        copies = command == "cp {input:q} {params.folder:q}/ > {log:q} 2>&1"
        assert command.startswith("exec python scripts/") or copies  # as good as instantaneous


@pytest.mark.parametrize("name", ["../fcp", "..", "/tmp/x", "fcp/../fcp", "fcp\n", "a b", "$(x)"])
@pytest.mark.parametrize("key", ["scale", "dataset", "architectures", "optimizers"])
def test_names_cannot_lead_out_of_the_results(key: str, name: str) -> None:
    """These names become parts of paths."""
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    schema = yaml.safe_load((REPOSITORY / "config/schema.yaml").read_text())
    config = configuration.merge(config, {key: name if key in ("scale", "dataset") else {name: {}}})
    library = Path(REPOSITORY, "scripts/topography")
    with pytest.raises(ConfigurationError, match=rf"- {key}"):
        configuration_checks.check(config, schema, [("mine.yaml", config)], library)
