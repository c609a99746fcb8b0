"""What rows a strategy can be fitted to, and what it says about those that it cannot."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from tasklift.dataset import Dataset, Example
from tasklift.errors import DataError, StrategyError, UnsupportedError
from tasklift.llm.fake import ScriptedModel
from tasklift.prediction import Prediction
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.classifier import GROUPS, cross_folds, validation_cut
from tasklift.strategies.fewshot import FewShot
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.knn import Knn
from tasklift.strategies.layered import Layered
from tasklift.strategy import Candidate, Context, Strategy
from tasklift.task import Task, Text

MODEL = ScriptedModel({}, default="red")
CLASSIFIERS: list[Strategy] = [Baseline(), Knn(embedder="static"), FrozenEncoder(embedder="static")]
ALL: list[Strategy] = [
    Majority(),
    *CLASSIFIERS,
    FewShot(model=MODEL, embedder="static"),
    Layered(FrozenEncoder(embedder="static"), None),
]

every = pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: strategy.name)
every_classifier = pytest.mark.parametrize("strategy", CLASSIFIERS, ids=lambda strategy: strategy.name)


def ask(candidate: Candidate, *texts: str) -> list[Prediction]:
    return asyncio.run(candidate.predict([{"text": text} for text in texts], Context()))


def limited(rows: Dataset, **limits: int) -> Dataset:
    """At most so many rows of a label; all where no limit is named."""
    seen: Counter[str] = Counter()
    kept = []
    for row in rows:
        seen[row.output] += 1
        if seen[row.output] <= limits.get(row.output, len(rows)):
            kept.append(row)
    return Dataset(tuple(kept), name=rows.name)


@every
def test_no_rows_are_refused(colours: Task, strategy: Strategy) -> None:
    said = f"{strategy.name}: no training rows for task colours; import some with `tasklift data import`"
    with pytest.raises(StrategyError, match=said):
        strategy.fit(colours, Dataset(()))


@every
def test_unlabelled_rows_are_refused_with_the_first(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    bare = [replace(row, output=None) if row.id.startswith("green") else row for row in colour_rows]
    with pytest.raises(StrategyError, match=f"{strategy.name}: 20 training rows carry no output .*'green-grass-0'"):
        strategy.fit(colours, Dataset(tuple(bare)))


@every
def test_one_label_alone_is_refused(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    said = f"{strategy.name}: all training rows carry the label 'blue'; add rows of others"
    with pytest.raises(StrategyError, match=said):
        strategy.fit(colours, limited(colour_rows, red=0, green=0))


@every
def test_an_unknown_label_is_refused_with_the_nearest(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    odd = (*colour_rows.examples, Example("odd", {"text": "one more"}, "Green"))
    with pytest.raises(DataError, match="unknown label 'Green'; did you mean 'green'"):
        strategy.fit(colours, Dataset(odd))


@pytest.mark.parametrize("strategy", [Baseline(), FrozenEncoder(embedder="static")], ids=lambda one: one.name)
def test_a_kind_that_a_strategy_cannot_give_is_refused(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    summary = colours.model_copy(update={"output": Text(kind="text")})
    with pytest.raises(UnsupportedError, match=f"{strategy.name} gives outputs of kind label.* asks for kind 'text'"):
        strategy.fit(summary, colour_rows)


@every_classifier
@pytest.mark.parametrize("each", [1, 2])
def test_too_few_rows_to_validate_on_are_refused(
    colours: Task, colour_rows: Dataset, strategy: Strategy, each: int
) -> None:
    few = limited(colour_rows, red=each, green=each, blue=each)
    said = f"{len(few)} training rows leave none to validate on; give one label at least 3 rows of different text"
    with pytest.raises(StrategyError, match=said):
        strategy.fit(colours, few)


@every_classifier
def test_three_rows_of_one_label_will_do(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    candidate = strategy.fit(colours, limited(colour_rows, red=3, green=1, blue=1))
    assert candidate.setup.labels == 5
    assert ask(candidate, "a ruby")[0].output == "red"


@every_classifier
def test_equal_texts_only_are_refused(colours: Task, strategy: Strategy) -> None:
    same = [Example(str(n), {"text": "Same text"}, ("red", "green")[n % 2]) for n in range(20)]
    with pytest.raises(StrategyError, match="20 training rows leave none to validate on"):
        strategy.fit(colours, Dataset(tuple(same)))


@every_classifier
def test_a_label_with_one_row_is_learnt(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    candidate = strategy.fit(colours, limited(colour_rows, blue=1))
    red, green, *_ = answers = ask(candidate, "a ruby", "some moss", "a sky in the garden")
    assert (red.output, green.output) == ("red", "green")
    assert all(set(found.scores or ()) == set(colours.labels) for found in answers)


@every_classifier
def test_a_label_without_rows_scores_below_the_rest(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    candidate = strategy.fit(colours, limited(colour_rows, green=0))
    for found in ask(candidate, "a ruby", "the ocean", "frog and moss", "?"):
        assert found.scores is not None
        assert found.scores["green"] == min(found.scores.values())
        assert found.output in ("red", "blue")


def test_fewshot_without_rows_of_a_label_can_still_name_it(colours: Task, colour_rows: Dataset) -> None:
    model = ScriptedModel({}, default="green")
    strategy = FewShot(model=model, embedder="static", pool=0, skip_agreed=False)
    candidate = strategy.fit(colours, limited(colour_rows, green=0))
    assert ask(candidate, "frog")[0].output == "green"


@every_classifier
def test_two_labels_are_kept_apart(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    candidate = strategy.fit(colours, limited(colour_rows, blue=0))
    answers = ask(candidate, "a tomato on my desk", "a fern at the market")
    assert [found.output for found in answers] == ["red", "green"]


@every
def test_the_price_of_fitting_is_told(colours: Task, colour_rows: Dataset, strategy: Strategy) -> None:
    candidate = strategy.fit(colours, colour_rows)
    assert candidate.setup.labels == 60
    assert candidate.setup.cpu_s >= 0
    assert candidate.training_ids == colour_rows.keys


@every
def test_other_rows_or_another_task_give_another_fingerprint(
    colours: Task, colour_rows: Dataset, strategy: Strategy
) -> None:
    fewer = limited(colour_rows, red=19)
    other = colours.model_copy(update={"instruction": "Which colour is it?"})
    cheaper = colours.model_copy(update={"on_defer": "A colleague will answer."})
    own = strategy.fingerprint(colours, colour_rows)
    assert own == strategy.fingerprint(cheaper, colour_rows)
    assert len({own, strategy.fingerprint(colours, fewer), strategy.fingerprint(other, colour_rows)}) == 3


def grouped(rows: Dataset, per_group: int) -> Dataset:
    """Neighbouring rows belong together."""
    shuffled = sorted(rows, key=lambda row: row.id[::-1])
    named = [replace(row, group=f"g{n // per_group}") for n, row in enumerate(shuffled)]
    return Dataset(tuple(named), name=rows.name)


@pytest.mark.parametrize("folds", [False, True])
def test_validation_keeps_groups_whole(colour_rows: Dataset, folds: bool) -> None:
    rows = grouped(colour_rows, 4)
    assert len({row.group for row in rows}) >= GROUPS
    if folds:
        sides = dict(zip(rows.ids, cross_folds(rows, 3, 0, repr).tolist(), strict=True))
    else:
        first, second = validation_cut(rows, 0, stratum=repr)
        sides = dict.fromkeys(first.ids, 0) | dict.fromkeys(second.ids, 1)
        assert 0.05 * len(rows) < len(second) < 0.4 * len(rows)
    for group in {row.group for row in rows}:
        assert len({sides[row.id] for row in rows if row.group == group}) == 1


@pytest.mark.parametrize("per_group", [8, 30])
def test_few_groups_are_not_kept_whole_in_validation(colour_rows: Dataset, per_group: int) -> None:
    rows = grouped(colour_rows, per_group)
    plain = [
        part.ids for part in validation_cut(Dataset(tuple(replace(row, group=None) for row in rows)), 0, stratum=repr)
    ]
    assert [part.ids for part in validation_cut(rows, 0, stratum=repr)] == plain
    assert len(set(cross_folds(rows, 3, 0, repr).tolist())) == 3
