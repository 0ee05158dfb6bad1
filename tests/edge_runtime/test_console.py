"""Tables line up; progress goes to stderr and ends with a line."""

from edge_runtime import console


def test_figures_to_the_right_words_to_the_left():
    shown = console.table(["name", "ms"], [("a", "1.5"), ("long", "12.25")]).splitlines()
    assert shown == ["name     ms", "────  ─────", "a       1.5", "long  12.25"]


def test_progress_yields_everything_and_says_so(capsys):
    assert list(console.progress([1, 2, 3], "count")) == [1, 2, 3]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("count: 3 in ")


def test_megabytes():
    assert console.megabytes(18_543_958) == "18.5 MB"
    assert console.megabytes(5_048_280) == "5.05 MB"
