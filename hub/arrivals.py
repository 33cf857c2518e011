"""Arrivals: a closed upload becomes a submission, once, however often the hub dies over it."""

from collections.abc import Collection

from sqlalchemy import select

from hub import intake
from hub.database.models import Submission
from hub.errors import Corrupt, HubError, Refused, Transient
from hub.intake import Totals
from hub.office import Office
from hub.states import FINAL
from hub.uploads import Stage, Upload, Uploads


def take(office: Office, uploads: Uploads, upload: Upload) -> str:
    """Make the submission of an upload that is closed; gives its id. Taken again, it gives it again.

    Raises:
        Refused: as ``intake.accept`` does; the upload is gone then.
        Corrupt: ``upload.damaged``; it is kept for the administrators, and not tried again.
        Transient: it stays closed and is taken later, unless the caller reopens it.
    """
    if upload.stage is not Stage.CLOSED:
        raise Corrupt(
            "upload.stage",
            f"expected a closed upload, found one that is {upload.stage}",
            "report this defect",
        )
    try:
        with uploads.read(upload) as source:
            submission = intake.accept(
                office, source, upload.agreement, Totals(), upload.name, identity=upload.submission
            )
    except Refused:
        uploads.discard(upload)
        raise
    uploads.arrive(upload, submission)
    return submission


def recover(office: Office, uploads: Uploads) -> tuple[list[str], list[HubError]]:
    """Take in whatever was closed and not taken: the hub died over it, or its database was away.

    Gives the submissions that were made, and what stopped others. A damaged one stays claimed, so that it is
    told once and not tried again by this process.
    """
    made: list[str] = []
    errors: list[HubError] = []
    waiting: list[Upload] = []
    while (upload := uploads.claim()) is not None:
        try:
            made.append(take(office, uploads, upload))
        except Transient as error:
            waiting.append(upload)  # let go at the end: claimed again at once, it would be tried for ever
            errors.append(error)
        except HubError as error:
            errors.append(error)
    for upload in waiting:
        uploads.release(upload)
    return made, errors


def final(office: Office, submissions: Collection[str]) -> set[str]:
    """Tell which of some submissions have come to their end."""
    ended = [state.value for state in FINAL]
    with office.database.transaction() as session:
        found = select(Submission.id).where(Submission.id.in_(submissions), Submission.state.in_(ended))
        return set(session.scalars(found))
