"""How the drop answers errors: SFTP knows a handful of codes, the hub's own code and words go with them."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from asyncssh import (
    SFTPError,
    SFTPFailure,
    SFTPFileAlreadyExists,
    SFTPNoSuchFile,
    SFTPPermissionDenied,
)
from asyncssh.packet import PacketDecodeError

from hub.errors import Corrupt, HubError, Refused, defect

LOG: Final = logging.getLogger("hub.drop")
"""One line for each thing that a partner does: ids, codes and sizes, never a file's name."""

_KINDS: Final[dict[str, Callable[[str], SFTPError]]] = {
    "drop.nothing": SFTPNoSuchFile,
    "drop.exists": SFTPFileAlreadyExists,
}
Result = TypeVar("Result")


def told(error: HubError) -> SFTPError:
    """Say an error of the hub in SFTP."""
    usual = SFTPPermissionDenied if isinstance(error, Refused) else SFTPFailure
    kind = _KINDS.get(error.code, usual)
    return kind(f"{error.code}: {error.message}; {error.remedy}")


def answered(handler: Callable[..., Awaitable[Result]]) -> Callable[..., Awaitable[Result]]:
    """Let an SFTP request end in an answer, whatever happens: what is not the hub's own may quote a value."""

    async def answer(*args: Any) -> Result:
        try:
            return await handler(*args)
        except (SFTPError, PacketDecodeError):
            raise
        except HubError as error:
            found = error
        except Exception as error:  # noqa: BLE001 -- the last door before the partner
            found = defect(error)
        if isinstance(found, Corrupt):
            LOG.error("alarm code=%s %s", found.code, found.message)
        raise told(found) from None

    answer.__name__ = getattr(handler, "__name__", "answer")
    return answer
