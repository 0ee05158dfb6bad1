"""Budgets and the search: what is kept, what is refused and how, and that an interrupted search goes on."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.budget import Budget
from compress.pruning.prune import Prune
from compress.recipe import Recipe
from compress.search import space
from compress.search.options import SearchOptions
from compress.search.price import pricing
from compress.search.record import Record
from compress.search.search import Search, held_out
from compress.search.space import Choice
from compress.step import Work
from converter.model import save, to_bytes
from edge_runtime import Bundle, ModelError, Samples, Session, Target
from edge_runtime.__main__ import main
from edge_runtime.errors import BudgetError, InputError
from tests.models import cnn, images

MODEL = cnn()
ANSWERS = Session(to_bytes(MODEL)).run_batches(images(96))[0].argmax(axis=1)
DATA = Samples(images(96), ANSWERS)
HERE = Target.load("x86-64")


def search(folder, budget, epochs=1, price=None):
    made, held = held_out(DATA)
    prices = price or pricing(HERE, coded=True, emulate=False)
    how = SearchOptions(folder, coded=True, emulate=False, epochs=epochs, measure="auto")
    return Search(Work(made, HERE, MODEL), held, budget, prices, how)


@given(
    st.floats(0, 1),
    st.floats(0.1, 10),
    st.floats(0, 1),
    st.floats(0.1, 10),
)
def test_an_excess_is_what_lies_above_a_limit(limit, size_limit, drop, size):
    found = Budget(max_drop=limit, max_size_mb=size_limit).excess({"drop": drop, "size_mb": size})
    assert ("max_drop" in found) == (drop > limit)
    assert ("max_size_mb" in found) == (size > size_limit)
    assert all(value > 0 for value in found.values())


def test_limits_are_checked():
    assert not Budget()
    assert Budget(max_drop=0)
    with pytest.raises(InputError, match=r"--max-size-mb -1"):
        Budget(max_size_mb=-1)
    with pytest.raises(InputError, match=r"0\.01 is one point"):
        Budget(max_drop=2)
    with pytest.raises(InputError, match="--max-latency-ms nan"):
        Budget(max_latency_ms=float("nan"))


def test_the_held_out_part_is_disjoint_and_complete():
    made, held = held_out(DATA)
    assert len(made) + len(held) == len(DATA)
    every = np.concatenate([made.x, held.x]).reshape(len(DATA), -1)
    assert len(np.unique(every, axis=0)) == len(DATA)
    assert len(held_out(Samples(DATA.x[:1]))[1]) == 1


def test_every_candidate_can_be_written_down(tmp_path):
    for choice in space.candidates():
        for epochs, careful in ((0, False), (2, False), (2, True)):
            recipe = space.recipe(choice, epochs, careful=careful)
            assert type(recipe).from_json(json.loads(json.dumps(recipe.to_json())), "here") == recipe
            (tmp_path / "r.toml").write_text(recipe.to_toml())
            assert type(recipe).load(tmp_path / "r.toml") == recipe


@pytest.mark.parametrize(("labels", "importance"), [(ANSWERS, "magnitude"), (None, "reconstruction")])
def test_without_labels_it_prunes_by_what_can_be_reconstructed(tmp_path, labels, importance):
    made, held = held_out(Samples(DATA.x[:32], None if labels is None else labels[:32]))
    how = SearchOptions(tmp_path, coded=True, emulate=False, epochs=1, measure="auto", engine="onnxruntime")
    prices = pricing(HERE, coded=True, emulate=False, engine="onnxruntime")
    found = Search(Work(made, HERE, MODEL), held, Budget(max_drop=0.9), prices, how).run()
    pruned = [step for trial in found.trials for step in trial.recipe.steps if isinstance(step, Prune)]
    assert pruned
    assert {step.importance for step in pruned} == {importance}


def test_refinement_halves_the_way_to_both_neighbours():
    tried = [Choice(amount, "int8") for amount in (0.0, 0.25, 0.6)] + [Choice(0.4, "float")]
    assert space.neighbours(Choice(0.25, "int8"), tried) == [Choice(0.425, "int8"), Choice(0.125, "int8")]
    assert space.neighbours(Choice(0.0, "int8"), [Choice(0.02, "int8")]) == []


def test_the_search_keeps_the_budget_and_takes_the_cheapest(tmp_path):
    found = search(tmp_path, Budget(max_drop=0.2)).run()
    assert found.feasible
    assert all(trial.drop <= 0.2 for trial in found.feasible)
    costs = [t.figures["latency_ms"] * t.price.size_mb for t in found.feasible]
    assert costs == sorted(costs)
    assert any(trial.epochs for trial in found.trials)


def test_without_a_limit_on_the_drop_the_nearest_wins(tmp_path):
    small = 0.8 * pricing(HERE, coded=True, emulate=False)([MODEL])[0].size_mb
    found = search(tmp_path, Budget(max_size_mb=small)).run()
    assert all(trial.price.size_mb <= small for trial in found.feasible)
    assert found.feasible[0].drop == min(trial.drop for trial in found.feasible)


def test_a_budget_that_cannot_be_met_names_the_nearest(tmp_path):
    with pytest.raises(BudgetError, match=r"the nearest of \d+ \(.*\) has size .* \(--max-size-mb 0.0001\)"):
        search(tmp_path, Budget(max_size_mb=0.0001)).run()


def test_an_interrupted_search_goes_on(tmp_path):
    prices = pricing(HERE, coded=True, emulate=False)
    calls = []

    def interrupted(models):
        calls.append(len(models))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return prices(models)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Budget(max_drop=0.2), price=interrupted).run()
    known = set(tmp_path.glob("*.json"))
    priced = sum(calls[:2])
    assert priced > 5
    again = []

    def counted(models):
        again.append(len(models))
        return prices(models)

    search(tmp_path, Budget(max_drop=0.2), price=counted).run()
    assert known < set(tmp_path.glob("*.json"))
    assert sum(again) < priced  # the original and the first candidates are not priced again


def test_a_record_belongs_to_its_model_data_and_target(tmp_path):
    work = Work(DATA, HERE, MODEL)
    others = [
        Work(DATA, HERE, cnn(1)),
        Work(Samples(DATA.x), HERE, MODEL),
        Work(DATA, dataclasses.replace(HERE, activation="int8"), MODEL),
    ]
    mine = Record(tmp_path, work).digest("x")
    assert mine == Record(tmp_path, work).digest("x")
    assert all(Record(tmp_path, other).digest("x") != mine for other in others)


def test_a_step_that_fails_costs_one_candidate(tmp_path, monkeypatch):
    def refuse(self, model, work):
        raise ModelError("no")

    monkeypatch.setattr("compress.search.space.Prune.__call__", refuse)
    found = search(tmp_path, Budget(max_drop=0.5)).run()
    assert found.feasible
    assert {failed.reason for failed in found.failed} == {"no"}


def test_the_command_searches_and_reports(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(MODEL, "m.onnx")
    np.savez("d.npz", x=DATA.x, y=DATA.y)
    command = ["compress", "m.onnx", "--data", "d.npz", "--target", "x86-64", "--no-emulate", "--epochs", "1"]
    assert main([*command, "--max-drop", "0.2", "-o", "b.bundle", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 1 - figures["agreement"] <= 0.2
    assert figures["trials"]
    assert Bundle.open("b.bundle").manifest.recipe == tuple(figures["recipe"])
    assert "What was tried" in (tmp_path / "report.html").read_text()
    assert Recipe.load("b.toml").to_json() == tuple(figures["recipe"])
    (tmp_path / "report.html").unlink()
    assert main([*command, "--max-size-mb", "0.0001", "-o", "c.bundle"]) == 2
    assert "no candidate meets the budget" in capsys.readouterr().err
    assert not (tmp_path / "c.bundle").exists()
    assert not (tmp_path / "report.html").exists()
