"""Compare the licence of every installed distribution with an allow-list.

GPL and AGPL are refused whatever else is offered beside them, LGPL too unless the package is named below as
an optional extra. A distribution that declares nothing usable is read by hand and entered with the reason.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distributions

# As `plain` writes the names of licences, from SPDX identifiers and from the words of classifiers alike.
ALLOWED = frozenset(
    [
        "mit",
        "mit-0",
        "mit-cmu",
        "expat",
        "hpnd",
        "historical-permission-notice-and-disclaimer",
        "isc",
        "zlib",
        "zlib-libpng",
        "0bsd",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "2-clause-bsd",
        "3-clause-bsd",
        "new-bsd",
        "modified-bsd",
        "simplified-bsd",
        "bsl-1-0",
        "apache",
        "apache-2",
        "apache-2-0",
        "apache-software",
        "apache-software-2-0",
        "apache-2-0-with-llvm-exception",
        "psf",
        "psf-2-0",
        "python-software-foundation",
        "python-2-0",
        "python-2-0-1",
        "cnri-python",
        "mpl-2-0",
        "mozilla-public-2-0",
        "unlicense",
        "cc0-1-0",
        "public-domain",
        "blueoak-1-0-0",
        "unicode-3-0",
        "unicode-dfs-2016",
    ]
)
REFUSED = re.compile(r"\b(A?GPL|GNU (Affero )?General Public|SSPL|BUSL|Commons Clause)", re.IGNORECASE)
LESSER = re.compile(r"\b(LGPL|GNU (Lesser|Library) General Public)", re.IGNORECASE)

# LGPL packages that only an optional extra brings: name -> the extra.
LESSER_EXTRAS: dict[str, str] = {}

# Read by hand: name -> (licence, why the metadata does not say it).
READ_BY_HAND: dict[str, tuple[str, str]] = {
    "wordllama": ("MIT", "puts the whole text of the licence into the License field"),
}
# What torch's build for NVIDIA cards brings. `dev.py` takes that build only where no index has the one for processors;
# nothing here needs, pins or hands on these packages.
CUDA_BUILD = re.compile(r"(nvidia|cuda)-[a-z0-9-]+")


def normal(name: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(dist: Distribution) -> list[str]:
    """What a distribution says of its licence, the most exact statement first and alone."""
    meta = dist.metadata
    expressions = meta.get_all("License-Expression")
    if expressions:
        return expressions
    classifiers = [
        value.rpartition(" :: ")[2]
        for value in meta.get_all("Classifier") or []
        if value.startswith("License ::") and not value.endswith(("OSI Approved", "Other/Proprietary License"))
    ]
    text = "".join(meta.get_all("License") or ()).strip()
    short = [text] if text and len(text) < 100 and "\n" not in text and text.upper() != "UNKNOWN" else []
    return classifiers or short


def plain(words: str) -> str:
    """A licence's name without case, punctuation, an abbreviation in brackets, and words that say nothing."""
    words = re.sub(r"\([^()]*\)\s*$", "", words.lower().strip())
    words = re.sub(r"\b(the|license|licence|version|v(?=\d))\b|\bv(?=\d)", " ", words)
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def acceptable(statement: str) -> bool:
    """Whether an expression can be met with allowed licences: all of the ANDs, one of the ORs."""
    if plain(statement) in ALLOWED:
        return True
    options = re.split(r"\s+or\s+|\s*/\s*", statement, flags=re.IGNORECASE)
    return any(
        all(plain(part.strip(" ()")) in ALLOWED for part in re.split(r"\s+and\s+|[,;&]", option, flags=re.IGNORECASE))
        for option in options
    )


def verdict(name: str, statements: list[str]) -> str:
    """An empty string where the licence is allowed, else what is wrong with it."""
    if name in READ_BY_HAND:
        return ""
    said = "; ".join(statements)
    if not statements:
        return "declares no licence: read it, and enter it in READ_BY_HAND with the reason"
    if LESSER.search(said):
        return "" if name in LESSER_EXTRAS else f"LGPL, and not a named optional extra: {said}"
    if REFUSED.search(said):
        return f"refused: {said}"
    unknown = [statement for statement in statements if not acceptable(statement)]
    return f"not on the allow-list: {'; '.join(unknown)}" if unknown else ""


def main() -> int:
    """Check this environment and print what is wrong."""
    found: dict[str, list[str]] = {}
    for dist in distributions():
        found.setdefault(normal(dist.metadata["Name"] or "?"), declared(dist))
    cuda = {name for name in found if CUDA_BUILD.fullmatch(name)}
    judged = sorted((name, said) for name, said in found.items() if name not in cuda)
    wrong = {name: problem for name, said in judged if (problem := verdict(name, said))}
    for name, problem in wrong.items():
        print(f"{name}: {problem}")
    by_hand = ", ".join(sorted(set(READ_BY_HAND) & set(found))) or "none"
    aside = f"; not judged: {len(cuda)} of torch's build for NVIDIA cards" if cuda else ""
    print(f"{len(judged)} distributions, {len(wrong)} refused; read by hand: {by_hand}{aside}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
