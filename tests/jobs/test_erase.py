"""Erasing a person reaches every store of a project, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasklift.cache import caching_in, open_cache
from tasklift.data.embed import open_embedder
from tasklift.data.versions import Versions
from tasklift.errors import TaskliftError
from tasklift.jobs.erase import Erasing
from tasklift.jobs.retrain import retrain
from tasklift.measure.erasure import note_report
from tasklift.measure.evaluation import Options, Silent, evaluate
from tasklift.operate.ledger import Ledger
from tasklift.operate.people import set_objection
from tasklift.operate.release import Arm, Releases, Trial
from tasklift.operate.review import OBJECTED, Feedback, add_feedback
from tasklift.operate.store import open_store, url_of
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.prediction import Prediction
from tasklift.project import Project
from tasklift.strategies.artifact import read_card
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load, load_candidate
from tasklift_platform.database import Database

ANNA, SECRET = "anna@example.org", "wisteria"
MODEL = "http://127.0.0.1:9/v1#m"
WORDS = {"red": ("ruby", "tomato", "blood"), "green": ("grass", "frog", "moss")}
PLACES = ("in the garden", "on my desk", "over there", "at the market", "by the sea", "up the hill")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A task with 36 rows; of each word, Anna wrote one of the training and one of the test rows."""
    task = tmp_path / "tasks" / "colours"
    task.mkdir(parents=True)
    (tmp_path / "tasklift.toml").write_text('schema_version = 1\nname = "shop"\n')
    (task / "task.toml").write_text(
        'schema_version = 1\nname = "colours"\ninstruction = "Which colour?"\n[output]\nkind = "label"\n'
        '[output.labels]\nred = "blood"\ngreen = "grass"\n[data]\nfile = "data.jsonl"\n'
    )
    rows = []
    for label, some in WORDS.items():
        for word in some:
            for n, place in enumerate(PLACES):
                text = f"a {word} {place}" + (f" near the {SECRET} {word}" if n in (0, 5) else "")
                row = {"id": f"{word}-{n}", "input": {"text": text}, "output": label}
                row["split"] = "test" if n > 3 else "train"
                rows.append(row | ({"group": ANNA} if n in (0, 5) else {}))
    (task / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with caching_in(tmp_path / ".tasklift" / "cache"):
        yield Project.open(tmp_path)
        open_cache("embeddings").close()


def fit(project: Project, name: str, **parameters: object) -> str:
    task = project.task("colours")
    made = build([name], {name: parameters}, MODEL)[name]
    return fit_or_load(made, task.task, project.rows(task)[0], project.state, print).fingerprint


async def give_traffic(project: Project, database: Database) -> None:
    """Anna's own requests, one corrected by its caller, one asked about; and one of somebody else."""
    task = project.task("colours").task
    writer = TraceWriter(database, Ledger(None))
    said = Prediction("red", confidence=0.6)
    for n, person in enumerate([ANNA] * 4 + ["bob"] * 8):
        value = {"text": f"an emerald {PLACES[n % 6]}" + (f" {SECRET}" if person == ANNA else " jade")}
        review = (f"rv{n}", "audit", value)
        writer.put(
            Trace(
                f"tr_{n}", "colours", 1.0, 1, "c", "stable", "", person, value, said, 0, 0, None, review, subject=person
            )
        )
    await writer.flush()
    for n in range(12):
        await add_feedback(database, task, Feedback(f"tr_{n}", "green", comment=SECRET if n < 4 else "thanks"), "me")


async def give_prompts(project: Project) -> None:
    """A prompt with two rows as examples, one of them Anna's, in its file, a version, an artifact and an overlay."""
    folder = project.folder / "tasks" / "colours"
    texts = {f"a ruby in the garden near the {SECRET} ruby": "red", "a frog on my desk": "green"}
    shots = "".join(f'[[examples]]\ntext = "{text}"\nlabel = "{label}"\n' for text, label in texts.items())
    (folder / "prompts").mkdir()
    (folder / "prompts" / "base.md").write_text(f"+++\n{shots}+++\n{{{{ examples }}}} {{{{ text }}}}\n")
    (folder / "overlays").mkdir()
    (folder / "overlays" / "x.toml").write_text(shots)
    task, prompts = project.task("colours"), project.prompts(project.task("colours"))
    prompts.use(prompts.find("base"), "me", "")
    made = build(["prompt"], project.parameters(task), MODEL)["prompt"]
    await asyncio.to_thread(fit_or_load, made, task.task, project.rows(task)[0], project.state, print)


def bytes_of(project: Project) -> bytes:
    """All that is on the disk of the project."""
    return b"".join(path.read_bytes() for path in sorted(project.folder.rglob("*")) if path.is_file())


def erasing(project: Project, database: Database) -> Erasing:
    async def settled() -> None: ...

    return Erasing(project, database, settled)


async def test_erasing_reaches_every_store_and_leaves_no_byte(project: Project) -> None:
    database = await open_store(url_of(project.state))
    try:
        task = project.task("colours")
        lookup = fit(project, "fewshot", embedder="static")
        train, test, _ = project.rows(task)
        earlier = train.part([*train, *test], "all")
        Versions(project.state / "datasets" / "colours").keep(earlier, "read data.jsonl")
        for_curve = build(["fewshot"], {"fewshot": {"embedder": "static"}}, MODEL)["fewshot"]
        await asyncio.to_thread(fit_or_load, for_curve, task.task, train, project.state / "curves", print)
        names = ["knn", "baseline"]
        made = build(names, {"knn": {"embedder": "static"}}, MODEL)
        options = Options(folder=project.state)
        evaluation = await asyncio.to_thread(evaluate, task.task, made, train, test, options, Silent())
        releases = Releases(database, lambda _: None)
        await releases.release("colours", Arm(lookup, "fewshot"), Trial(), "me")
        await give_traffic(project, database)
        retrained = await retrain(project, database, task, fit(project, "baseline"), "baseline")
        Versions(project.state / "datasets" / "colours").keep(train, "read")
        await give_prompts(project)
        report = project.folder / "report.html"
        note_report(project.state, report, "colours", test.ids)
        report.write_text(f"<p>{SECRET}</p>")
        open_embedder("static").encode([f"{SECRET} alone"])
        assert bytes_of(project).count(SECRET.encode()) > 10

        held = await erasing(project, database).export(ANNA)
        assert all(held[name] for name in ("traces", "reviews", "feedback", "artifacts", "evaluations", "reports"))
        assert SECRET in str(held["rows"])
        certificate = await erasing(project, database).erase(ANNA, "me")

        assert certificate.completed_at is not None
        erased = {store.store: store.erased for store in certificate.stores}
        assert set(erased) == {
            "traces", "reviews", "feedback", "artifacts", "evaluations", "reports", "caches",
            "prompts", "versions", "rows",
        }  # fmt: skip
        assert all(erased.values()), erased
        left = bytes_of(project)
        assert SECRET.encode() not in left
        prompts = project.prompts(project.task("colours"))
        used = prompts.used("prompt")
        assert used is not None
        assert [shot.text for shot in used.prompt.examples] == ["a frog on my desk"]
        assert prompts.draft("base") == used.prompt
        assert ANNA.encode() not in left
        assert certificate.is_about(ANNA)
        assert not any((await erasing(project, database).export(ANNA)).values())
        # who is not meant keeps everything, and what is in production goes on
        assert len((await erasing(project, database).export("bob"))["traces"]) == 8
        card = read_card(project.state / "artifacts" / lookup)
        assert card.notes["erased_rows"] == 6
        assert len(load_candidate(project.state / "artifacts" / lookup)._store.texts) == 18  # type: ignore[attr-defined]
        assert not (project.state / "artifacts" / retrained.candidate).exists()
        manifest = json.loads((project.state / "evaluations" / evaluation.id / "manifest.json").read_text())
        assert len(manifest["rows"]) == 6
        assert len(project.rows(task)[1]) == 6
    finally:
        await database.aclose()


async def test_what_has_learned_and_is_in_production_keeps_the_erasure_open_until_it_is_replaced(
    project: Project,
) -> None:
    database = await open_store(url_of(project.state))
    try:
        learned = fit(project, "baseline")
        releases = Releases(database, lambda _: None)
        await releases.release("colours", Arm(learned, "baseline"), Trial(), "me")
        certificate = await erasing(project, database).erase(ANNA, "me")
        assert certificate.completed_at is None
        (open_store_,) = [store for store in certificate.stores if store.erased is None]
        assert open_store_.store == "artifacts"
        assert "retrain" in str(open_store_.error)
        assert ANNA not in str(certificate.to_json())

        await releases.release("colours", Arm(fit(project, "baseline"), "baseline"), Trial(), "me")
        trying = asyncio.create_task(erasing(project, database).keep_finishing(0.05))  # as a server does
        await asyncio.sleep(1.5)
        trying.cancel()
        finished = await erasing(project, database).registry().certificate(certificate.id)
        assert finished is not None
        assert finished.completed_at is not None
        assert not (project.state / "artifacts" / learned).exists()
        assert ANNA.encode() not in bytes_of(project)
        assert await erasing(project, database).finish() == []
    finally:
        await database.aclose()


async def test_rows_of_who_objects_are_not_trained_on(project: Project) -> None:
    database = await open_store(url_of(project.state))
    try:
        await give_traffic(project, database)
        await set_objection(database, ANNA, True, "me")
        made = await retrain(project, database, project.task("colours"), fit(project, "majority"), "baseline")
        assert made.left_out[OBJECTED] == 4
        ids = {key.partition(":")[2] for key in read_card(project.state / "artifacts" / made.candidate).training_ids}
        assert not ids & {f"tr_{n}" for n in range(4)}
        assert not ids & {f"{word}-0" for words in WORDS.values() for word in words}
        await erasing(project, database).erase(ANNA, "me")
        with contextlib.closing(sqlite3.connect(project.state / "traffic.db")) as raw:
            assert raw.execute("SELECT count(*) FROM objections").fetchone() == (1,)  # it outlives the person
    finally:
        await database.aclose()


async def test_rows_in_a_table_have_to_be_taken_out_by_hand(project: Project) -> None:
    folder = project.folder / "tasks" / "colours"
    rows = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    lines = [f"{row['id']},{row['input']['text']},{row['output']},{row.get('group', '')}" for row in rows]
    (folder / "data.csv").write_text("\n".join(["id,text,label,group", *lines]))
    toml = (folder / "task.toml").read_text().replace("data.jsonl", "data.csv")
    (folder / "task.toml").write_text(toml)
    project = Project.open(project.folder)
    database = await open_store(url_of(project.state))
    try:
        certificate = await erasing(project, database).erase(ANNA, "me")
        (waiting,) = [store for store in certificate.stores if store.erased is None]
        assert (waiting.store, "by hand" in str(waiting.error)) == ("rows", True)
        (folder / "data.csv").write_text("\n".join(["id,text,label,group", *(x for x in lines if ANNA not in x)]))
        (finished,) = await erasing(project, database).finish()
        assert finished.completed_at is not None
        with pytest.raises(TaskliftError, match="empty"):
            await erasing(project, database).erase(" ", "me")
    finally:
        await database.aclose()
