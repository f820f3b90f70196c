"""Progress lines: when they appear and what they say."""

import pytest

from topography import progress


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_it_speaks_when_it_is_time_to_and_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = progress.Progress("stage", 100, interval=10.0)
    for seconds, done in ((5, 20), (15, 40), (16, 42), (45, 100)):
        clock.now = float(seconds)
        stage.update(done, f"item {done}")
    # Time left is told by the rate since the first update: 2 units a second.
    assert capsys.readouterr().err.splitlines() == [
        "stage: 40/100 (40 %), 0:00:15 passed, 0:00:30 left; item 40",
        "stage: 100/100 (100 %), 0:00:45 passed, 0:00:00 left; item 100",
    ]


def test_a_note_is_told_at_once(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress.Progress("stage", 100, interval=10.0).note("measuring")
    assert capsys.readouterr().err == "stage: measuring\n"
