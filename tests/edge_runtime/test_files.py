"""Files appear whole or not at all."""

import pytest

from edge_runtime import files


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "f"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.atomic(target) as partial:  # noqa: PT012
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "d"
    for name in ("one", "two"):
        with files.atomic(target) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert [p.name for p in target.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [target]


def test_the_cache_follows_its_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path))
    assert files.cache_dir() == tmp_path
    monkeypatch.delenv("LITTORAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_dir() == tmp_path / "littoral"
