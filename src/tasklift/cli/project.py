"""`tasklift init` and `tasklift check`."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasklift import registry
from tasklift.cli import show
from tasklift.errors import ConfigError, MissingDependencyError, StrategyError
from tasklift.llm.template import Template
from tasklift.metrics.base import check_metrics
from tasklift.project import Project, TaskFile
from tasklift.rules.apply import build_rules
from tasklift.schema import parse
from tasklift.strategies.build import build

PROJECT = """schema_version = 1
name = {folder}
model = "local"   # or "https://host/v1#model-name" (OpenAI-compatible; the key comes from TASKLIFT_API_KEY)
"""
TASK = """schema_version = 1
name = "{name}"
instruction = "Sort each message of a customer into the queue that should answer it."
# compare = ["baseline", "frozen", "encoder", "prompt", "fewshot", "layered", "human"]

[output]
kind = "label"

[output.labels]
billing = "Charges, invoices, refunds"
technical = "Something does not work"
other = "Everything else"

[data]
file = "data.jsonl"      # rows: {{"id": "1", "input": {{"text": "..."}}, "output": "billing"}}
test_share = 0.3         # kept for the final figure

[economics]
items_per_month = {{ p10 = 2000, p50 = 5000, p90 = 12000 }}
error_usd = 2.0          # one wrong answer that nobody caught
review_usd = 0.5         # one answer by a person
changes_per_year = 6

[economics.options.finetune]
cost_per_change_usd = 600

[economics.options.prompt]
cost_per_change_usd = 60

[gates]
min_metric = 0.7
"""
ROWS = """{"id": "1", "input": {"text": "Why was I charged twice this month?"}, "output": "billing"}
{"id": "2", "input": {"text": "I need an invoice with our new address on it"}, "output": "billing"}
{"id": "3", "input": {"text": "where is my refund, it has been ten days"}, "output": "billing"}
{"id": "4", "input": {"text": "Please explain the 4.99 on my statement"}, "output": "billing"}
{"id": "5", "input": {"text": "The app closes as soon as I open it"}, "output": "technical"}
{"id": "6", "input": {"text": "error 503 when uploading photos"}, "output": "technical"}
{"id": "7", "input": {"text": "my headset will not pair any more"}, "output": "technical"}
{"id": "8", "input": {"text": "Since the update nothing loads on wifi"}, "output": "technical"}
{"id": "9", "input": {"text": "Do you have a shop in Lisbon?"}, "output": "other"}
{"id": "10", "input": {"text": "just wanted to say thanks, Mara was great"}, "output": "other"}
{"id": "11", "input": {"text": "Are you hiring in support?"}, "output": "other"}
{"id": "12", "input": {"text": "happy new year to the whole team"}, "output": "other"}
"""


def init(folder: Path, name: str) -> int:
    """Write a project; nothing that exists is touched."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty; name a new folder")
    parse(TaskFile, tomllib.loads(TASK.format(name="task")) | {"name": name}, "--name")
    task = folder / "tasks" / name
    task.mkdir(parents=True)
    quoted = json.dumps(folder.resolve().name, ensure_ascii=False)
    (folder / "tasklift.toml").write_text(PROJECT.format(folder=quoted), encoding="utf-8")
    (task / "task.toml").write_text(TASK.format(name=name), encoding="utf-8")
    (task / "data.jsonl").write_text(ROWS, encoding="utf-8")
    (folder / ".gitignore").write_text(".tasklift/\n", encoding="utf-8")
    Project.open(folder)
    print(f"{folder}: a project with the task {name}. Next: edit tasks/{name}/task.toml, import your rows with")
    print(f"  tasklift data import FILE -p {folder}\n  tasklift check -p {folder}\n  tasklift evaluate -p {folder}")
    return 0


def check(folder: Path, as_json: bool) -> int:
    """Read everything a project holds, as an evaluation would, without fitting."""
    project = Project.open(folder)
    report: list[dict[str, Any]] = []
    for name, task in project.tasks.items():
        train, test, warnings = project.rows(task)
        path = folder / "tasks" / name / "task.toml"
        _check_model(project.settings.model, folder / "tasklift.toml")
        _check_templates(task, path)
        _check_rules(task, path)
        for prompt in project.prompts(task).names():
            project.prompts(task).draft(prompt)
        parameters = project.parameters(task, task.compare)
        _check_strategies(project.settings.strategies, {}, project.settings.model, folder / "tasklift.toml")
        _check_strategies((*task.compare, *parameters), parameters, project.settings.model, path)
        beside = folder / "tasks" / name / "economics.toml"
        priced = project.economics(task) if task.economics or beside.exists() else None
        check_metrics(task.task)
        many = task.output.kind == "labels"
        counts = Counter(label for value in train.outputs for label in (value if many else [value]) if task.labels)
        unseen = [label for label in task.labels if counts[label] == 0]
        notes = [*warnings, *([f"labels without a training row: {', '.join(unseen)}"] if unseen else [])]
        report.append(
            {
                "task": name,
                "kind": task.output.kind,
                "labels": len(task.labels),
                "train": len(train),
                "test": len(test),
                "economics": priced is not None,
                "notes": notes,
            }
        )
    if as_json:
        show.print_json({"project": project.settings.name, "tasks": report})
        return 0
    for row in report:
        priced_text = "economics given" if row["economics"] else "no economics: no decision"
        what = show.output_words(project.tasks[row["task"]].task)
        print(f"{row['task']}: {what}, {row['train']} training and {row['test']} test rows, {priced_text}")
        for note in row["notes"]:
            print(f"  note: {note}")
    print("ok")
    return 0


def _check_model(model: str, path: Path) -> None:
    if not model.startswith(("http://", "https://")) and model not in registry.names("model"):
        known = ", ".join(registry.names("model"))
        raise ConfigError(f"{path}: model = {model!r} is neither {known} nor a URL like https://host/v1#model-name")


def _check_templates(task: TaskFile, path: Path) -> None:
    for strategy in ("prompt", "fewshot"):
        given = task.strategies.get(strategy, {})
        try:
            Template(str(given.get("system", "")), str(given.get("user", ""))).check()
        except ConfigError as error:
            raise ConfigError(f"{path}: strategies.{strategy}: {error}") from error


def _check_rules(task: TaskFile, path: Path) -> None:
    try:
        build_rules(task.rules)
    except MissingDependencyError:  # an evaluation says so; the files are right
        pass
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _check_strategies(
    names: Iterable[str], parameters: Mapping[str, Mapping[str, Any]], model: str, path: Path
) -> None:
    """Make every strategy that `path` names, except `encoder`: loading what it needs takes seconds."""
    for name in dict.fromkeys(names):
        if name == "encoder":
            continue
        try:
            build([name], parameters, model)
        except MissingDependencyError:  # an evaluation says so; the files are right
            continue
        except (ConfigError, StrategyError) as error:
            raise ConfigError(f"{path}: {error}") from error
