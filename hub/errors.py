"""The hub's one family of errors.

Every error carries a ``code`` (stable, from the reason catalogue where a sender reads it), a ``message``
(what was expected against what was found, never a value of a person's row) and a ``remedy`` (what the
reader can do now). The three branches tell machines what to do: nothing, raise an alarm, or try again.
"""

import traceback


class HubError(Exception):
    """The root: an outcome that a human must be able to act upon."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["HubError"], tuple[str, str, str]]:
        """Survive a process boundary whole."""
        return type(self), (self.code, self.message, self.remedy)


class Refused(HubError):  # noqa: N818 -- the outcome's name in the glossary
    """Final: the request or file is not taken; its sender has to act."""


class Corrupt(HubError):  # noqa: N818 -- names what is found, not what is raised
    """Final and alarming: something that the hub itself wrote or holds is not as it must be."""


class Transient(HubError):  # noqa: N818 -- names the state of the world
    """Try again: a database away, a lease held by another process, a full disk."""


def defect(error: BaseException) -> Corrupt:
    """Tell of an unforeseen error by its type and place alone: what it says may quote a row."""
    steps = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{step.name}:{step.lineno}" for step in reversed(steps[-6:]))
    return Corrupt(
        "hub.defect",
        f"an unforeseen {type(error).__name__} at {places}",
        "nothing is lost; report this line (it holds no personal data)",
    )
