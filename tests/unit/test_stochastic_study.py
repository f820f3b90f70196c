"""The table of the study of shortcuts, from heights written by hand."""

from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from benchmarks.stochastic import Search, append, is_done, table

FULL = Search("fcp", "sgd_train", 800, 26, 1, 100, "lowest", "exact")
CHEAP = replace(FULL, share=16, steps=160, keep="last")


def rows(search: Search, heights: list[float], seconds: float) -> pd.DataFrame:
    """Rows of the pairs 0-1, 0-2, ... of a search."""
    pairs = {"i": 0, "j": range(1, len(heights) + 1), "height": heights, "seconds": seconds}
    return pd.DataFrame({**asdict(search), **pairs})


def test_bias_and_spread_are_of_ratios_pair_by_pair() -> None:
    """Heights 10 % and 30 % above: on average 20 %, spread by 10 % times root 2."""
    text = table(pd.concat([rows(FULL, [1.0, 0.1], 8.0), rows(CHEAP, [1.1, 0.13], 2.0)]))
    full, cheap = [line.split(" | ") for line in text.splitlines()[2:]]
    assert full[1:] == [
        "800 of 800",
        "100",
        "lowest",
        "exact",
        "1.0",
        "1.0",
        "2",
        "0.5500",
        "+0.0%",
        "0.0% |",
    ]
    assert cheap[1:5] == ["50 of 800", "160", "last", "exact"]
    assert cheap[5:] == ["10.0", "4.0", "2", "0.6150", "+20.0%", "14.1% |"]


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "new" / "table.csv"
    assert not is_done(FULL, output)
    append(rows(FULL, [1.0], 8.0), output)
    assert is_done(FULL, output)
    assert not is_done(CHEAP, output)
    append(rows(CHEAP, [1.1], 2.0), output)
    assert is_done(CHEAP, output)
    assert pd.read_csv(output)["height"].tolist() == [1.0, 1.1]
