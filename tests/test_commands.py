"""Every command is documented, has help with an example, and answers bad use with one sentence."""

from pathlib import Path

import pytest

from edge_runtime.__main__ import commands, main

README = Path(__file__).parents[1] / "README.md"
NAMES = sorted(commands())


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"littoral {name}" in shown
    assert "example:" in shown
    assert "--json" in shown


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_it(name):
    assert f"littoral {name}" in README.read_text("utf-8")


def test_overview_lists_all(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)
    assert "not installed" not in shown


@pytest.mark.parametrize(
    "argv", [["comprss"], ["run"], ["run", "--no-such"], ["bench", "x.onnx", "--rounds", "many"]]
)
def test_bad_use_is_one_sentence(argv, capsys):
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("littoral: ")


def test_a_missing_extra_names_the_install_line(capsys, monkeypatch):
    from importlib import metadata

    entry = metadata.EntryPoint("fly", "no_such_package.cli:FLY [wings]", "littoral.commands")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [entry])
    assert main(["fly"]) == 2
    assert "pip install 'littoral[wings]'" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("littoral ")
