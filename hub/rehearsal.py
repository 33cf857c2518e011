"""Rehearsal: synthetic files for an agreement, with the outcome that the hub must come to."""

from pathlib import Path
from typing import Any, Literal, cast

from hub import registry
from hub.errors import Refused
from hub.settings import Settings
from schemas import samples


def write(
    settings: Settings, agreement_id: str, out: Path, *, rows: int, seed: int, errors: bool, form: str | None
) -> dict[str, Any]:
    """Write a sample file (and the consents to it) into a folder; no hub needs to be there.

    Returns:
        The paths, and the expected counts: refused and withheld by code, and what would be delivered.

    Raises:
        Refused: ``file.agreement`` for an unknown agreement, ``sample.request`` for an impossible sample.
    """
    known = registry.read_agreements([settings.agreements or registry.SHIPPED])
    agreement = next((one for one in known if one.id == agreement_id), None)
    if agreement is None:
        raise Refused(
            "file.agreement",
            f"no agreement {agreement_id!r} is known; known are {', '.join(one.id for one in known)}",
            "name one of these",
        )
    chosen = cast("Literal['csv', 'xlsx']", form or agreement.intake.formats[0])
    if chosen not in agreement.intake.formats:
        formats = " or ".join(agreement.intake.formats)
        raise Refused(
            "sample.request", f"{agreement_id} takes {formats}, not {chosen}", "choose another --format"
        )
    try:
        made = samples.sample(agreement, rows, seed, errors, file_format=chosen)
    except ValueError as error:
        raise Refused("sample.request", str(error), "ask for more rows") from None
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{agreement_id.lower()}-{rows}-{seed}.{chosen}"
    samples.write_sample(made, file)
    answer: dict[str, Any] = {
        "file": file,
        "rows": made.frame.height,
        "delivered": made.delivered,
        "refused": dict(made.expected),
        "withheld": dict(made.withheld),
    }
    if made.consents is not None:
        consents = out / f"{agreement_id.lower()}-{rows}-{seed}-consents.csv"
        samples.write_consents(made, consents)
        answer["consents"] = consents
    return answer
