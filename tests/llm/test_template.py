"""Prompt templates: what they may use, and what is refused before the first row is paid for."""

from __future__ import annotations

from typing import Any

import pytest

from tasklift.errors import ConfigError
from tasklift.llm.model import Message
from tasklift.llm.template import Template
from tasklift.strategies import fewshot, prompt

VALUES: dict[str, Any] = {
    "instruction": "Which colour?",
    "labels": {"red": "Blood", "green": "Grass"},
    "form": "Answer with exactly one label and nothing else.",
    "cue": "Label",
    "examples": [{"text": "far", "label": "red"}, {"text": "near", "label": "green"}],
    "text": "a ruby",
    "input": {"text": "a ruby", "order": "7"},
}


def rendered(user: str, system: str = "", **values: Any) -> str:
    template = Template(system, user)
    template.check()
    return template.render(VALUES | values)[-1].content


def test_every_field_can_be_used() -> None:
    user = "{{ instruction }}|{% for name, meaning in labels.items() %}{{ name }}={{ meaning }};{% endfor %}|"
    user += "{% for one in examples %}{{ one.text }}:{{ one['label'] }} {% endfor %}|{{ text }}|{{ input.order }}"
    assert rendered(user) == "Which colour?|red=Blood;green=Grass;|far:red near:green |a ruby|7"


def test_filters_conditions_and_loops_work() -> None:
    assert rendered("{{ text|upper|replace('A ', '') }}") == "RUBY"
    assert rendered("{% if examples %}{{ examples|length }}{% else %}none{% endif %}") == "2"
    assert rendered("{% for name in labels %}{{ loop.index }}. {{ name }} {% endfor %}") == "1. red 2. green "


def test_a_system_message_comes_first_and_an_empty_one_is_left_out() -> None:
    messages = Template("Sort: {{ instruction }}", "{{ text }}").render(VALUES)
    assert messages == (Message("system", "Sort: Which colour?"), Message("user", "a ruby"))
    assert Template(" \n", "{{ text }}").render(VALUES) == (Message("user", "a ruby"),)


def test_what_a_row_says_is_never_read_as_a_template() -> None:
    assert rendered("{{ text }}", text="{{ 7 * 7 }} {% for %} <b>&") == "{{ 7 * 7 }} {% for %} <b>&"


@pytest.mark.parametrize(("system", "user"), [(prompt.SYSTEM, prompt.USER), (fewshot.SYSTEM, fewshot.USER)])
def test_the_templates_that_ship_are_fine(system: str, user: str) -> None:
    assert rendered(user, system).endswith("Message: a ruby\n\nLabel:" if user is prompt.USER else "a ruby\nLabel:")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "{{ txt }}",
            "names the unknown field 'txt'; it may use: cue, examples, form, input, instruction, labels, passages",
        ),
        ("{{ text }} {{ Labels }}", "names the unknown field 'Labels'; it may use: cue, examples, form, input"),
        ("{{ labels.pink }}", "'dict object' has no attribute 'pink'; it may use: cue, examples, form, input"),
        ("{{ text.body }}", "'str object' has no attribute 'body'; it may use"),
        ("{{ examples[0].txt }}", "has no attribute 'txt'; it may use"),
        ("{{ text", "line 1: unexpected end of template"),
        ("a\nb\n{% for x in labels %}", "line 3: Unexpected end of template"),
        ("{% loop %}", "line 1: Encountered unknown tag 'loop'"),
        ("{{ text|shout }}", "line 1: No filter named 'shout'"),
        ("{{ text is loud }}", "line 1: No test named 'loud'"),
        ("{{ 1 / 0 }}", "cannot be rendered: division by zero"),
        ("{{ text + 1 }}", "cannot be rendered: can only concatenate str"),
        ("{{ '{x}'.format() }}", "cannot be rendered: 'x'"),
        ("{{ '{}'.format() }}", "cannot be rendered: tuple index out of range"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "cannot be rendered: maximum recursion depth exceeded"),
    ],
)
def test_templates_that_no_row_could_use_are_refused(source: str, said: str) -> None:
    with pytest.raises(ConfigError, match="user template.*" + said.replace("(", r"\(")):
        Template("", source).check()
    with pytest.raises(ConfigError, match="system template.*" + said.replace("(", r"\(")):
        Template(source, "{{ text }}").check()


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ text.__class__.__base__ }}",
        "{{ input.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__['os'].system('id') }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ '{x.__class__.__mro__}'.format(x=text) }}",
        "{{ '{0.__class__}'.format_map({'0': text}) }}",
        "{{ [text]|map(attribute='__class__')|first }}",
        "{{ labels.__class__.fromkeys }}",
        "{{ (labels|items).gi_frame.f_globals }}",
    ],
)
def test_ways_out_of_the_sandbox_are_refused(source: str) -> None:
    with pytest.raises(ConfigError, match="user template"):
        Template("", source).check()
    with pytest.raises(ConfigError, match="user template"):
        Template("", source).render(VALUES)


@pytest.mark.parametrize(
    "source",
    [
        "{% set x = labels.update({'pink': 'New'}) %}",
        "{{ labels.clear() }}",
        "{{ labels.pop('red') }}",
        "{{ examples.append(text) }}",
        "{{ input.setdefault('x', 'y') }}",
    ],
)
def test_values_cannot_be_changed(source: str) -> None:
    with pytest.raises(ConfigError, match="user template"):
        Template("", source).render(VALUES)
    assert list(VALUES["labels"]) == ["red", "green"]
    assert len(VALUES["examples"]) == 2


@pytest.mark.parametrize("source", ["{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends text %}"])
def test_files_cannot_be_read(source: str) -> None:
    with pytest.raises(ConfigError, match="user template cannot be rendered: no loader"):
        Template("", source).check()


@pytest.mark.parametrize(
    "source",
    [
        "{% for x in range(10**9) %}{{ x }}{% endfor %}",
        "{{ range(10**12)|list }}",
        "{{ range(0, -1000000, -1)|sum }}",
    ],
)
def test_huge_loops_are_refused(source: str) -> None:
    with pytest.raises(ConfigError, match="user template cannot be rendered: Range too big"):
        Template("", source).check()


def test_rendering_names_what_a_row_lacks() -> None:
    template = Template("", "{{ input.invoice }}")
    template.check()  # which fields an input has is not known yet
    with pytest.raises(ConfigError, match="user template: 'dict object' has no attribute 'invoice'"):
        template.render(VALUES)
