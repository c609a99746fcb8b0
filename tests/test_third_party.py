"""A strategy that somebody else ships: the worked example of the docs, installed, used by name, and what is refused."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasklift import registry
from tasklift.contracts import check_strategy
from tasklift.dataset import Dataset
from tasklift.errors import ConfigError
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load, load_candidate
from tasklift.task import Task

PAGE = Path(__file__).parent.parent / "docs" / "third-party.md"


def example() -> str:
    """The first Python block of the page."""
    return PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


def install(folder: Path, name: str, code: str, **points: str) -> None:
    """What `pip install` leaves: a module and the distribution's metadata. Points: kind -> entry points."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"[tasklift.{group}]\n{text}\n" for group, text in points.items())
    (metadata / "entry_points.txt").write_text(lines, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that distributions are installed into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    return folder


@pytest.fixture
def centroid(site: Path) -> Path:
    install(site, "tasklift-centroid", example(), strategies="centroid = tasklift_centroid:Centroid")
    return site


def test_the_worked_example_is_as_short_as_it_says() -> None:
    lines = [line for line in example().splitlines() if line.strip() and not line.startswith(("from ", "import "))]
    assert len(lines) <= 30


def test_the_worked_example_keeps_the_laws_by_its_name(colours: Task, colour_rows: Dataset, centroid: Path) -> None:
    strategy = build(["centroid"], {"centroid": {"sharpness": 10.0}}, None)["centroid"]
    check_strategy(strategy, colours, colour_rows, colour_rows.inputs[:5], load=load_candidate)
    assert "centroid" in registry.names("strategy")


def test_its_candidates_are_kept_and_found_again(
    colours: Task, colour_rows: Dataset, centroid: Path, tmp_path: Path
) -> None:
    (strategy,) = build(["centroid"], {}, None).values()
    first = fit_or_load(strategy, colours, colour_rows, tmp_path, print)
    second = fit_or_load(strategy, colours, colour_rows, tmp_path, print)
    assert first.fingerprint == second.fingerprint
    assert first is not second


def test_the_command_line_uses_it_by_name(centroid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(centroid), prepend=":")
    project = tmp_path / "shop"

    def tasklift(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tasklift", *words, "-p", str(project)], capture_output=True, text=True, check=False
        )

    subprocess.run([sys.executable, "-m", "tasklift", "init", str(project)], check=True, capture_output=True)
    with (project / "tasklift.toml").open("a", encoding="utf-8") as file:
        file.write('strategies = ["baseline", "centroid", "human"]\n')
    with (project / "tasks" / "triage" / "task.toml").open("a", encoding="utf-8") as file:
        file.write("\n[strategies.centroid]\nsharpness = 30.0\n")
    done = tasklift("evaluate", "--json")
    assert done.returncode == 0, done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)["candidates"]}
    assert found["centroid"]["family"] == "finetune"
    wrong = tasklift("evaluate", "--strategies", "centriod")
    assert wrong.returncode == 2
    assert "no strategy is called 'centriod'; did you mean 'centroid'?" in wrong.stderr


def test_a_parameter_that_it_does_not_have_is_named(centroid: Path) -> None:
    with pytest.raises(ConfigError, match="strategy 'centroid' has no parameter 'sharpnes'; did you mean 'sharpness'"):
        build(["centroid"], {"centroid": {"sharpnes": 1.0}}, None)
    with pytest.raises(ConfigError, match="sharpness = 'much' must be a number"):
        build(["centroid"], {"centroid": {"sharpness": "much"}}, None)


# Models and embedders


def test_a_model_is_opened_by_its_name(site: Path) -> None:
    code = """
from tasklift.llm.fake import ScriptedModel
def parrot(): return ScriptedModel({}, default="red", name="parrot")
"""
    install(site, "parrots", code, models="parrot = parrots:parrot")
    assert registry.load("model", "parrot")().name == "parrot"
    with pytest.raises(ConfigError, match=r"no model is called 'parot'; did you mean 'parrot'"):
        registry.load("model", "parot")


def test_an_embedder_is_opened_by_its_name(site: Path) -> None:
    code = "from tasklift.data.embed_static import StaticEmbedder as Mine\n"
    install(site, "vectors", code, embedders="mine = vectors:Mine")
    assert registry.load("embedder", "mine")().dimensions == 256


# What is refused


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import a_module_that_is_not_there\n", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("Other = 1\n", "AttributeError: module 'broken_strategy' has no attribute 'Mine'"),
    ],
)
def test_a_broken_distribution_is_named(site: Path, code: str, said: str) -> None:
    install(site, "broken-strategy", code, strategies="mine = broken_strategy:Mine")
    sys.modules.pop("broken_strategy", None)
    with pytest.raises(ConfigError) as caught:
        registry.load("strategy", "mine")
    assert str(caught.value) == (
        f"strategy 'mine' of the distribution broken-strategy 1.0 cannot be loaded ({said}); mend or uninstall it"
    )


def test_a_name_that_ships_is_refused_and_what_ships_still_works(site: Path) -> None:
    install(site, "greedy", "Knn = 1\n", strategies="knn = greedy:Knn")
    with pytest.raises(ConfigError, match=r"the distribution greedy 1.0 brings a strategy called 'knn', which"):
        registry.names("strategy")
    assert registry.load("strategy", "knn").__module__ == "tasklift.strategies.knn"


def test_a_name_that_two_bring_is_refused(site: Path) -> None:
    for name in ("first", "second"):
        install(site, name, "Mine = 1\n", strategies=f"mine = {name}:Mine")
    with pytest.raises(ConfigError, match=r"the distributions \w+ 1.0 and \w+ 1.0 both bring a strategy called 'mine'"):
        registry.load("strategy", "mine")


def test_a_strategy_without_parameters_that_can_be_told_is_refused(site: Path) -> None:
    install(site, "plain-class", "class Mine: pass\n", strategies="mine = plain_class:Mine")
    with pytest.raises(ConfigError, match=r"strategy 'mine' .* is no dataclass"):
        build(["mine"], {}, None)
