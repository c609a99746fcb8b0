"""A project folder: `tasklift.toml`, `tasks/<name>/task.toml`, and what Tasklift keeps in `.tasklift/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasklift.cache import caching_in
from tasklift.data.read import read_dataset
from tasklift.data.split import split_dataset
from tasklift.dataset import Dataset, overlapping_texts
from tasklift.economics import Economics
from tasklift.errors import ConfigError, DataError
from tasklift.llm.prompt_upkeep import edits_of
from tasklift.llm.prompt_versions import Prompts
from tasklift.schema import Schema, parse, read_toml
from tasklift.serving import Serving
from tasklift.strategies.prompt_choice import with_prompts
from tasklift.task import Task

#: Folder of a task's documents, where task.toml names none.
DOCUMENTS = "documents"
#: Strategies that answer from documents.
GROUNDED = ("prompt", "fewshot")


class ProjectFile(Schema):
    """`tasklift.toml`.

    Attributes:
        name: of the project.
        model: what `prompt`, `fewshot` and `layered` ask, unless a task says otherwise.
        strategies: which strategies are compared, unless a task says otherwise.
        cache_mb: room of each cache (answers of models, vectors); where it is used up, the oldest entries go.
    """

    schema_version: Literal[1] = 1
    name: str
    model: str = "local"
    strategies: tuple[str, ...] = (
        "majority",
        "baseline",
        "knn",
        "frozen",
        "encoder",
        "prompt",
        "fewshot",
        "layered",
        "human",
    )
    cache_mb: int = Field(default=4000, gt=0)


class DataSource(Schema):
    """Where a task's rows are.

    Attributes:
        file: relative to the task's folder; `.jsonl` or `.csv`.
        fields: target -> column, for files that are not in the pinned format.
        test_share: share of rows kept for the final figure, where the rows name no split.
        split_by: how they are cut then.
        seed: of that cut.
    """

    file: str
    fields: dict[str, str] = Field(default_factory=dict)
    test_share: float = Field(default=0.3, gt=0, lt=1)
    split_by: Literal["label", "group", "time"] = "label"
    seed: int = 0


class TaskFile(Task):
    """`task.toml`: a task, its rows, and parameters of its strategies.

    Attributes:
        data: where the rows are.
        compare: strategies to compare; the project's list where it is empty.
        strategies: strategy -> parameters that differ from the defaults.
        documents: folder of documents that prompted strategies answer from, relative to the task's folder; where it is
            not given, `documents`, if there is such a folder.
        serving: how it is served.
    """

    data: DataSource | None = None
    compare: tuple[str, ...] = ()
    strategies: dict[str, dict[str, Any]] = Field(default_factory=dict)
    documents: str | None = None
    serving: Serving = Serving()

    @property
    def task(self) -> Task:
        """Only the task."""
        return Task.model_validate({name: getattr(self, name) for name in Task.model_fields})


@dataclass(frozen=True)
class Project:
    """An opened project.

    Attributes:
        folder: where `tasklift.toml` is.
        settings: its content.
        tasks: name -> task file.
    """

    folder: Path
    settings: ProjectFile
    tasks: Mapping[str, TaskFile]

    @classmethod
    def open(cls, folder: Path) -> Project:
        """Read and check a project.

        Raises:
            ConfigError: a file is missing or says something impossible; names file and key.
        """
        settings = parse(ProjectFile, read_toml(folder / "tasklift.toml"), str(folder / "tasklift.toml"))
        tasks = {}
        for path in sorted(folder.glob("tasks/*/task.toml")):
            found = parse(TaskFile, read_toml(path), str(path))
            if found.name != path.parent.name:
                raise ConfigError(
                    f"{path}: `name`: {found.name!r} must be the name of its folder, {path.parent.name!r}"
                )
            tasks[found.name] = _with_documents(found, path.parent)
        if not tasks:
            raise ConfigError(f"{folder}: no tasks/<name>/task.toml; `tasklift init` writes one")
        return cls(folder, settings, tasks)

    @property
    def state(self) -> Path:
        """Where artifacts, evaluations, decisions and caches are kept."""
        return self.folder / ".tasklift"

    def task(self, name: str | None) -> TaskFile:
        """The task called `name`; None: the only one.

        Raises:
            ConfigError: no such task, or several and no name.
        """
        if name is None and len(self.tasks) == 1:
            return next(iter(self.tasks.values()))
        if name is None or name not in self.tasks:
            asked = f"no task is called {name!r}" if name else "the project has several tasks; name one"
            raise ConfigError(f"{self.folder}: {asked}: {', '.join(self.tasks)}")
        return self.tasks[name]

    def rows(self, task: TaskFile) -> tuple[Dataset, Dataset, tuple[str, ...]]:
        """Training rows, test rows, and warnings about them.

        Raises:
            DataError: the rows cannot be used; names file and lines.
            ConfigError: the task names no data.
        """
        if task.data is None:
            raise ConfigError(f"{task.name}: task.toml has no [data] with `file`; `tasklift data import` adds rows")
        path = self.folder / "tasks" / task.name / task.data.file
        data = read_dataset(path, task.task, task.data.fields)
        if any(row.split == "test" for row in data):
            train, test = data.where("train"), data.where("test")
            return train, test, (*data.warnings, *_about_splits(data, train, test))
        if any(row.split for row in data):
            raise DataError(
                f"{path}: rows name splits, but none is called 'test'; use 'train' and 'test', or leave split out"
            )
        share, by = 1 - task.data.test_share, task.data.split_by
        train, test = split_dataset(data, share, by, task.data.seed, task.output.stratum)
        return train, test, (*data.warnings, *_about_splits(data, train, test))

    def caching(self) -> AbstractContextManager[None]:
        """Inside the block, models and embedders keep their results in the project's cache."""
        return caching_in(self.state / "cache", self.settings.cache_mb * 1_000_000)

    def prompts(self, task: TaskFile) -> Prompts:
        """The prompts of a task, with their versions."""
        return Prompts(self.folder / "tasks" / task.name / "prompts")

    def parameters(self, task: TaskFile, names: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """Parameters of strategies: of the task file, of the prompts that are used, and of overlays.

        Args:
            names: asked for; `prompt:short@1a2b` names a prompt, or one of its versions, and
                `prompt:short+de` one with an overlay for every row.

        Raises:
            ConfigError: a prompt or an overlay cannot be used.
        """
        return with_prompts(self.folder / "tasks" / task.name, task.task, names, task.strategies)

    def economics(self, task: TaskFile, file: Path | None = None) -> Economics:
        """The economics of a task: from `file`, else from its folder's economics.toml, else from task.toml.

        Where they do not say how often the rules change, kept versions of its prompts tell.

        Raises:
            ConfigError: none is given, or the file says something impossible.
        """
        beside = self.folder / "tasks" / task.name / "economics.toml"
        path = file or (beside if beside.exists() else None)
        if path is not None:
            found = parse(Economics, read_toml(path), str(path))
        elif task.economics is None:
            raise ConfigError(f"{task.name}: no economics; write {beside} or give --economics FILE")
        else:
            found = task.economics
        edits = edits_of(self.prompts(task))
        if edits is None or edits.per_year is None:
            return found
        return found.with_counted_changes(edits.per_year, edits.line())


def _with_documents(task: TaskFile, folder: Path) -> TaskFile:
    """The task with its folder of documents as a parameter of the strategies that can use one.

    Raises:
        ConfigError: the folder that it names is not there.
    """
    named = task.documents if task.documents is not None else DOCUMENTS
    place = (folder / named).resolve()
    if task.documents and not place.is_dir():
        raise ConfigError(f"{folder / 'task.toml'}: `documents`: no folder {place}; make it, or leave the key out")
    if not named or not place.is_dir():
        return task
    given = {name: {"documents": str(place)} | task.strategies.get(name, {}) for name in GROUNDED}
    return task.model_copy(update={"documents": str(place), "strategies": {**task.strategies, **given}})


def _about_splits(data: Dataset, train: Dataset, test: Dataset) -> list[str]:
    found = []
    if left := len(data) - len(train) - len(test):
        found.append(f"{left} rows have another split than 'train' and 'test' and are not used")
    if shared := overlapping_texts(train, test):
        found.append(f"{len(shared)} test rows repeat the text of a training row; figures without them are shown too")
    known = {row.group for row in train if row.group is not None}
    if torn := sum(row.group in known for row in test):
        found.append(
            f"{torn} test rows are of a group (customer, document) that training rows are of, so figures flatter; "
            f'`tasklift data split`, or split_by = "group", keeps groups whole'
        )
    return found
