"""Expected errors are one line and exit status 1; defects keep their traceback."""

import argparse

import pytest

from topography.errors import TopographyError
from topography.jobs.command_line import count, run, settings


def test_expected_error_is_one_line(capsys):
    def main() -> None:
        raise TopographyError("weights.csv is cut.\nDelete it.")

    with pytest.raises(SystemExit) as stopped:
        run(main)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: weights.csv is cut. Delete it.\n"


def test_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: print(1 / 0))


def test_success_returns():
    calls = []
    run(lambda: calls.append("main"))
    assert calls == ["main"]


def test_settings_are_a_json_object():
    assert settings('{"activation": "softplus", "count": 3}') == {
        "activation": "softplus",
        "count": 3,
    }


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "two", ""])
def test_counts_below_one_are_refused_by_the_parser(text, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=count)
    assert parser.parse_args(["--threads", "3"]).threads == 3
    with pytest.raises(SystemExit):
        parser.parse_args(["--threads=" + text])
    assert "no whole number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "{'a': 1}", '{"rate": NaN}'])
def test_other_settings_are_refused_by_the_parser(text, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", type=settings)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--settings", text])
    assert stopped.value.code == 2
    assert "argument --settings: " in capsys.readouterr().err
