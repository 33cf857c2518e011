"""The SFTP requests that the drop answers (version 3), on top of asyncssh's own handler.

Two things of asyncssh's handler are not for us. When a line ends, it closes the open files by the very call
that a client's CLOSE makes (``SFTPServerHandler._cleanup``); here the session is told first that it is over.
And an unforeseen error's own words go to the client; here every request ends in ``answered``.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from asyncssh import SFTPLimits, SFTPName
from asyncssh import constants as ssh
from asyncssh.packet import SSHPacket
from asyncssh.sftp import SFTPServerHandler
from asyncssh.stream import SSHReader, SSHServerStreamSession, SSHWriter

from connectors.drop.answers import answered
from connectors.drop.session import MOST_OPEN, Session
from hub.errors import Refused

_PACKET = 1 << 18  # bytes of data in one read or write, as OpenSSH's server has it
_MARGIN = 1024


class Handler(SFTPServerHandler):
    """Reads requests off one channel and answers them, one after the other."""

    _extensions = [  # noqa: RUF012 -- asyncssh's own form
        (b"posix-rename@openssh.com", b"1"),
        (b"fsync@openssh.com", b"1"),
        (b"lsetstat@openssh.com", b"1"),
        (b"limits@openssh.com", b"1"),
    ]

    def __init__(self, session: Session, reader: SSHReader[bytes], writer: SSHWriter[bytes]) -> None:
        super().__init__(session, reader, writer, 3)
        self._session = session

    async def run(self) -> None:
        """Serve the channel until it ends; then whatever is open is left unfinished."""
        try:
            await super().run()
        finally:
            self._session.over = True
            await self._session.leave()

    async def _cleanup(self, exc: Exception | None) -> None:
        self._session.over = True
        await super()._cleanup(exc)

    async def _process_opendir(self, packet: SSHPacket) -> bytes:
        path = packet.get_string()
        packet.check_end()
        if len(self._dir_handles) >= MOST_OPEN:
            message = f"expected at most {MOST_OPEN} open folders, found more"
            raise Refused("drop.busy", message, "close some")
        names = await self._session.listing(path)  # asyncssh would not say before the first READDIR
        handle = self._get_next_handle()
        self._dir_handles[handle] = _each(names)
        return handle

    async def _process_limits(self, packet: SSHPacket) -> SFTPLimits:
        packet.check_end()
        return SFTPLimits(_PACKET + _MARGIN, _PACKET, _PACKET - _MARGIN, MOST_OPEN)


def _requests() -> dict[int | bytes, Any]:
    offered = SFTPServerHandler._packet_handlers  # noqa: SLF001 -- no public door to it
    known = (
        *(ssh.FXP_OPEN, ssh.FXP_CLOSE, ssh.FXP_READ, ssh.FXP_WRITE, ssh.FXP_LSTAT, ssh.FXP_FSTAT),
        *(ssh.FXP_SETSTAT, ssh.FXP_FSETSTAT, ssh.FXP_READDIR, ssh.FXP_REMOVE, ssh.FXP_MKDIR, ssh.FXP_RMDIR),
        *(ssh.FXP_REALPATH, ssh.FXP_STAT, ssh.FXP_RENAME, ssh.FXP_READLINK, ssh.FXP_SYMLINK),
        *(
            b"posix-rename@openssh.com",
            b"hardlink@openssh.com",
            b"fsync@openssh.com",
            b"lsetstat@openssh.com",
        ),
    )
    handlers: dict[int | bytes, Any] = {kind: offered[kind] for kind in known}
    handlers[ssh.FXP_OPENDIR] = Handler._process_opendir  # noqa: SLF001 -- our own
    handlers[b"limits@openssh.com"] = Handler._process_limits  # noqa: SLF001
    return {kind: answered(handler) for kind, handler in handlers.items()}


Handler._packet_handlers = _requests()  # noqa: SLF001 -- whatever is not named there is "not supported"


async def _each(names: list[SFTPName]) -> AsyncIterator[SFTPName]:
    for name in names:
        yield name


class Channel(SSHServerStreamSession[bytes]):
    """A channel on which nothing can be asked for but SFTP: no shell, no command, no other subsystem."""

    def __init__(self, begin: Callable[[Any], Session], ended: Callable[[], None]) -> None:
        super().__init__(None)
        self._begin = begin
        self._ended = ended

    def subsystem_requested(self, subsystem: str) -> bool:
        """Grant SFTP."""
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Begin to serve."""
        channel = self._chan
        assert channel is not None  # noqa: S101 -- asyncssh has connected it before
        reader: SSHReader[bytes] = SSHReader(self, channel)
        writer: SSHWriter[bytes] = SSHWriter(self, channel)
        channel.get_connection().create_task(Handler(self._begin(channel), reader, writer).run())

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the channel as gone."""
        super().connection_lost(exc)
        self._ended()
