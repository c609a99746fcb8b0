"""Prompts as files: what they may say, what is refused and how, and that they read back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasklift.errors import ConfigError
from tasklift.llm.prefix import stable_part
from tasklift.llm.prompt_file import PromptText, prompt_names, read_prompt

WHOLE = '''+++
strategy = "fewshot"
tone = "Short."
policy = """
Refunds: \\"billing\\".
Two lines."""

[parameters]
examples = 4
pool = 8

[[examples]]
text = "a \\"quoted\\" line\\nand \\\\ a slash"
label = "red"
+++
<!-- system -->
{{ instruction }} {{ tone }}
  {% include "parts/policy.md" %}
<!-- user -->
{% for example in examples %}{{ example.text }} = {{ example.label }}
{% endfor %}
{{ text }}
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "policy.md").write_text("Policy: {{ policy }}\n", encoding="utf-8")
    return tmp_path


def written(folder: Path, text: str, name: str = "base.md") -> PromptText:
    (folder / name).write_text(text, encoding="utf-8")
    return read_prompt(folder, "base")


def test_front_matter_parts_and_includes_make_one_prompt(folder: Path) -> None:
    found = written(folder, WHOLE)
    assert found.system == "{{ instruction }} {{ tone }}\n  Policy: {{ policy }}"
    assert found.user.endswith("{{ text }}")
    assert (found.strategy, found.parameters) == ("fewshot", {"examples": 4, "pool": 8})
    assert found.examples[0].text == 'a "quoted" line\nand \\ a slash'
    assert prompt_names(folder) == ["base"]


def test_a_prompt_written_as_a_file_is_the_same_prompt(folder: Path) -> None:
    found = written(folder, WHOLE)
    assert written(folder, found.to_file()) == found
    plain = written(folder, "{{ text }}\n\n")
    assert plain.user == "{{ text }}\n"
    assert written(folder, plain.to_file()).id == plain.id


def test_the_id_follows_what_is_said_and_nothing_else(folder: Path) -> None:
    first = written(folder, WHOLE).id
    (folder / "base.md").unlink()
    assert written(folder, WHOLE, "base.jinja").id == first
    (folder / "parts" / "policy.md").write_text("Rules: {{ policy }}\n", encoding="utf-8")
    assert read_prompt(folder, "base").id != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("+++\nstrategy = \n+++\n{{ text }}", "not valid TOML: Invalid value (at line 2"),
        ("+++\nmodle = 'x'\n+++\n{{ text }}", "unknown key `modle`; did you mean `model`?"),
        ("+++\nstrategy = 'knn'\n+++\n{{ text }}", "`strategy`"),
        ("+++\nmodel = 'x'\n{{ text }}", "line 1: the front matter has no end"),
        ("---\nmodel: x\n---\n{{ text }}", "front matter is TOML between two lines \\+\\+\\+, not YAML"),
        ("+++\nuser = 'x'\n+++\n{{ text }}", "`user` stands below the front matter"),
        ("", "line 1: the prompt is empty"),
        ("+++\n+++\n  \n", "line 3: the prompt is empty"),
        ("<!-- system -->\nx", "<!-- user --> is missing"),
        ("hello\n<!-- user -->\n{{ text }}", "'hello' stands before <!-- user -->"),
        ("<!-- user -->\na\n<!-- user -->\nb", "<!-- user --> stands there twice"),
        ("{{ txt }}", "names the unknown field 'txt'"),
        ("{{ text", "line 1: unexpected end of template"),
        ("a\n{% if %}", "line 2"),
        ("+++\npolicy = 'x'\n+++\n{{ text }}", "it gives `policy`, but no template names {{ policy }}"),
        ("{% include 'nothing.md' %}", "include 'nothing.md': there is no such file"),
        ("{% include 'parts/polcy.md' %}", "did you mean 'parts/policy.md'"),
        ("{% include '../secret' %}", "leads out of"),
        ("{% include '/etc/passwd' %}", "leads out of"),
        ("x\n{% include text %}", "line 2: {% include text %}: only {% include"),
        ("{% include ['a', 'b'] %}", "with one quoted name"),
        ("{% import 'a' as a %}", "only {% include"),
        ("{% extends 'a' %}", "only {% include"),
    ],
)
def test_what_cannot_be_used_is_named(folder: Path, text: str, said: str) -> None:
    (folder.parent / "secret").write_text("s", encoding="utf-8")
    with pytest.raises(ConfigError, match=said.replace("(", "\\(").replace("{", "\\{")) as error:
        written(folder, text)
    assert "base.md" in str(error.value)


def test_a_circle_of_includes_is_shown(folder: Path) -> None:
    (folder / "a.md").write_text("{% include 'b.md' %}", encoding="utf-8")
    (folder / "b.md").write_text("{% include 'a.md' %}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"b.md: include 'a.md' goes in a circle: a.md -> b.md -> a.md"):
        written(folder, "{% include 'a.md' %}")


def test_a_link_out_of_the_folder_is_no_way(folder: Path) -> None:
    (folder.parent / "secret").write_text("s", encoding="utf-8")
    (folder / "link.md").symlink_to(folder.parent / "secret")
    with pytest.raises(ConfigError, match="leads out of"):
        written(folder, "{% include 'link.md' %}")


def test_an_include_in_a_raw_block_stays_text(folder: Path) -> None:
    assert written(folder, "{% raw %}{% include 'x' %}{% endraw %} {{ text }}").user.startswith("{% raw %}{% include")


def test_missing_and_double_files_are_named(folder: Path) -> None:
    written(folder, "<!-- user -->\n{{ text }}")
    with pytest.raises(ConfigError, match=r"no prompt is called 'bse'.*did you mean 'base'"):
        read_prompt(folder, "bse")
    (folder / "base.jinja").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"both base.md and base.jinja"):
        read_prompt(folder, "base")


def test_text_behind_the_row_cannot_be_served_by_a_prefix_cache() -> None:
    long = "Answer with one label. " * 20
    good = PromptText(system=long, user="Message: {{ text }}")
    bad = PromptText(user=f"Message: {{{{ text }}}}\n{long}")
    assert stable_part(good, "i", {}).first == len(long) + len("\nMessage: ")
    assert stable_part(good, "i", {}).late == 0
    found = stable_part(bad, "i", {})
    assert found.first == len("Message: ")
    assert found.late >= len(long)
    assert "cannot serve them" in found.line()
    assert "cannot" not in stable_part(good, "i", {}).line()
