"""Changes that should not change an answer: to the text of an input, and to the prompt around it. All deterministic."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Mapping
from functools import partial

from tasklift.llm.template import Template
from tasklift.strategies.layered_candidate import LayeredCandidate
from tasklift.strategies.prompt import PromptCandidate
from tasklift.strategies.prompted_candidate import PromptedCandidate
from tasklift.strategy import Candidate

TextChange = Callable[[str], str]

#: English forms that mean the same; the first that occurs is put in place of the other, both ways.
SAME = (
    ("I'm", "I am"),
    ("I've", "I have"),
    ("I'd", "I would"),
    ("can't", "cannot"),
    ("won't", "will not"),
    ("don't", "do not"),
    ("doesn't", "does not"),
    ("didn't", "did not"),
    ("isn't", "is not"),
    ("wasn't", "was not"),
    ("haven't", "have not"),
    ("it's", "it is"),
    ("what's", "what is"),
    ("where's", "where is"),
    ("how do I", "how can I"),
    ("could you", "can you"),
    ("would like to", "want to"),
    ("need to", "have to"),
    ("because", "since"),
    ("but", "however"),
    ("also", "too"),
    ("get", "receive"),
    ("help", "assist"),
    ("tell me", "let me know"),
    ("right now", "at the moment"),
    ("a lot of", "many"),
)


def text_changes(seed: int = 0) -> dict[str, list[TextChange]]:
    """Kind -> changes of a text. A change that leaves a text as it is does not count for it."""
    return {
        "typos": [partial(typo, seed=seed)],
        "case": [str.lower, str.upper],
        "spacing": [_spaced],
        "paraphrase": [reworded, _framed],
    }


def typo(text: str, seed: int = 0) -> str:
    """One slip of the finger in about every twelve words: two letters swapped, one left out, or one doubled."""
    draw = random.Random(f"{seed} {text}")
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    for i in draw.sample(long, min(len(long), 1 + len(words) // 12)):
        at = draw.randrange(1, len(words[i]) - 1)
        kind, word = draw.randrange(3), words[i]
        if kind == 0:
            words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif kind == 1:
            words[i] = word[:at] + word[at + 1 :]
        else:
            words[i] = word[:at] + word[at] + word[at:]
    return " ".join(words)


def reworded(text: str) -> str:
    """Every form of `SAME` replaced by its other one; a text without any stays as it is."""
    pairs = {one.casefold(): other for pair in SAME for one, other in (pair, pair[::-1])}
    pattern = "|".join(rf"(?<!\w){re.escape(form)}(?!\w)" for form in sorted(pairs, key=len, reverse=True))

    def other(found: re.Match[str]) -> str:
        new = pairs[found[0].casefold()]
        return new[0].upper() + new[1:] if found[0][0].isupper() else new

    return re.sub(pattern, other, text, flags=re.IGNORECASE)


def _framed(text: str) -> str:
    """The same inside a greeting and thanks."""
    return f"Hello, {text.rstrip()} Thank you."


def _spaced(text: str) -> str:
    """Double spaces, and a line break at the end."""
    return text.replace(" ", "  ") + "\n"


def prompt_changes(candidate: Candidate) -> dict[str, list[tuple[str, Candidate]]]:
    """Kind -> the same candidate with another prompt around the same task, each with its name.

    Empty for a candidate without a prompt: no wording, format or order reaches it. The prompt stage of a
    layered candidate is changed inside it.
    """
    if isinstance(candidate, LayeredCandidate):
        if candidate.prompt is None:
            return {}
        around = partial(LayeredCandidate, candidate.card, candidate.core)
        return {
            kind: [(name, around(prompt=stage, rule=candidate.rule)) for name, stage in some]
            for kind, some in prompt_changes(candidate.prompt).items()
        }
    if not isinstance(candidate, PromptedCandidate):
        return {}
    template = candidate.template
    found: dict[str, list[tuple[str, Candidate]]] = {
        "format": [(name, _with(candidate, _mapped(template, change))) for name, change in FORMATS.items()],
        "wording": [(name, _with(candidate, change(template))) for name, change in WORDINGS.items()],
    }
    if isinstance(candidate, PromptCandidate) and "labels" in template.system + template.user:
        labels = list(candidate.labels)
        mixed = random.Random(0).sample(labels, len(labels))
        found["label_order"] = [
            (name, _with(candidate, template, tuple(order)))
            for name, order in (("reversed", labels[::-1]), ("mixed", mixed))
            if list(order) != labels
        ]
    if "in examples %}" in template.user + template.system:
        turned = _mapped(template, lambda source: source.replace("in examples %}", "in examples|reverse %}"))
        found["example_order"] = [("reversed", _with(candidate, turned))]
    return found


def _with(candidate: PromptedCandidate, template: Template, labels: tuple[str, ...] | None = None) -> PromptedCandidate:
    """A copy that asks in another way; model and stored rows are shared."""
    # A zero-shot candidate is made anew: it remembers the bias of its own prompt.
    other: PromptedCandidate
    if isinstance(candidate, PromptCandidate):
        other = PromptCandidate(candidate.card, candidate.model, candidate.toolset)
    else:
        other = copy.copy(candidate)
    other.template = template
    other.labels = labels or candidate.labels
    return other


def _mapped(template: Template, change: TextChange) -> Template:
    return Template(change(template.system), change(template.user))


def _outside_code(source: str, change: TextChange) -> str:
    """`change` on the literal parts of a template, not on what stands in braces."""
    parts = re.split(r"(\{\{.*?\}\}|\{%.*?%\})", source, flags=re.DOTALL)
    return "".join(part if at % 2 else change(part) for at, part in enumerate(parts))


def _on_literals(change: TextChange) -> TextChange:
    return lambda source: _outside_code(source, change)


#: Equivalent formats after Sclar et al. 2023: separator, case of field names, spacing, bullets.
FORMATS: Mapping[str, TextChange] = {
    "separator": _on_literals(lambda text: re.sub(r":(?=\s|$)", " -", text)),
    "capitals": _on_literals(lambda text: re.sub(r"(?m)^(\w+)(?=:)", lambda found: found[1].upper(), text)),
    "spacing": _on_literals(lambda text: text.replace("\n\n", "\n")),
    "bullets": _on_literals(lambda text: re.sub(r"(?m)^- ", "* ", text)),
}
#: Wordings of one instruction: what is asked for stays the same.
WORDINGS: Mapping[str, Callable[[Template], Template]] = {
    "polite": lambda t: _with_instruction(t, "Please do the following with care. ", ""),
    "titled": lambda t: _with_instruction(t, "Your task: ", ""),
    "reminded": lambda t: _with_instruction(t, "", "\nDecide by what the message is about."),
}


def _with_instruction(template: Template, before: str, after: str) -> Template:
    """Around the system template, or around the user's where there is none."""
    if template.system.strip():
        return Template(before + template.system + after, template.user)
    return Template(template.system, before + template.user + after)
