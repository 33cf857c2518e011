# ruff: noqa: INP001 -- a program, not part of a package
"""Draw docs/submission-states.md from the transition table in hub.states; a test holds the page to it."""

from pathlib import Path

from hub.states import FINAL, RESTING, TRANSITIONS, State, diagram

PAGE = Path(__file__).parents[1] / "docs" / "submission-states.md"


def page() -> str:
    """Write the whole page."""
    rows = "".join(f"| {t.source} | {t.target} | {t.made_by} | {t.why} |\n" for t in TRANSITIONS)
    return f"""# The states of a submission

<!-- Drawn from hub/states.py by `make diagram`; do not edit by hand. -->

A submission is one file that a sender handed in. PostgreSQL itself holds every change of its state to the
table below, and writes each into the submission's history.

- It ends as {_listed(FINAL)}.
- It rests, until people decide, as {_listed(RESTING)}.

```mermaid
{diagram()}```

| from | to | made by | why |
|---|---|---|---|
{rows}"""


def _listed(states: frozenset[State]) -> str:
    return " or ".join(f"`{state}`" for state in State if state in states)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
