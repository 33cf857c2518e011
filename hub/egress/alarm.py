"""How the egress gate says no."""

from hub.errors import Corrupt


def stop(code: str, expected: str, found: str) -> Corrupt:
    """Word an alarm of the gate; neither text may hold a value of a row."""
    return Corrupt(
        code=f"egress.{code}",
        message=f"the egress gate expected {expected}, found {found}",
        remedy="Nothing was sent. Look at the quarantined parcel under dual control and find what made it.",
    )
