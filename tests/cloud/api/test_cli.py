"""`littoral cloud token`."""

import json

import pytest

from cloud.api.access import Tokens
from cloud.api.cli import TOKEN
from cloud.database import Database
from cloud.home import Home
from edge_runtime.__main__ import main


def call(*args):
    return main(["cloud", "token", *args])


def test_a_token_is_made_printed_once_and_deleted(tmp_path, capsys):
    assert not call("ada", "--role", "operator", "--home", str(tmp_path), "--json")
    made = json.loads(capsys.readouterr().out)
    tokens = Tokens(Database(Home(tmp_path).database_url))
    assert tokens.find(made["token"]).role == "operator"
    assert not call("ada", "--delete", "--home", str(tmp_path))
    assert tokens.find(made["token"]) is None


@pytest.mark.parametrize(
    "args", [("a b",), ("ada", "--role", "king"), ("ada", "--days", "-1"), ("nobody", "--delete"), ("",)]
)
def test_bad_use_is_one_sentence_and_exit_code_2(tmp_path, capsys, args):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(call(*args, "--home", str(tmp_path)))
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_it_says_how_it_is_called():
    assert TOKEN.example.startswith("littoral cloud token")
