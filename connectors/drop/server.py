"""The drop's SSH server: who may come in, with what, and how many at once."""

# ruff: noqa: ARG002 -- the methods have the arguments that asyncssh gives them

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from connectors.drop.access import Access
from connectors.drop.answers import LOG
from connectors.drop.arriving import Arriving
from connectors.drop.hostkey import host_key
from connectors.drop.inbox import Inbox
from connectors.drop.outbox import Locate, Outbox
from connectors.drop.protocol import Channel
from connectors.drop.replies import Replies
from connectors.drop.session import Session
from connectors.drop.tree import Parts
from hub.errors import HubError, Refused
from hub.office import Office

MOST_SESSIONS: Final = 16  # of one partner
MOST_LINES: Final = 400  # connections in all, known or not
LOGIN_SECONDS: Final = 30
FAREWELL_SECONDS: Final = 5

# What BSI TR-02102-4 recommends, in the words of SSH; OpenSSH, WinSCP, lftp and rclone all know some of it.
_KEY_EXCHANGE = (
    *("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"),
    *("ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group16-sha512"),
    *("diffie-hellman-group18-sha512", "diffie-hellman-group-exchange-sha256"),
)
_CIPHERS = (
    *("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"),
    *("aes256-ctr", "aes192-ctr", "aes128-ctr"),
)
_MACS = (
    *("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"),
    *("hmac-sha2-256", "hmac-sha2-512"),
)
_SIGNATURES = (
    *("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"),
    *("ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256"),
)


@dataclass(frozen=True)
class Address:
    """Where the drop listens, and how its host key is known (SHA256 fingerprint)."""

    host: str
    port: int
    fingerprint: str


class Drop:
    """The server. ``serve`` runs until ``stop`` is set, then lets every close that was sent be answered."""

    def __init__(self, office: Office, locate: Locate) -> None:
        self._key = host_key(office.settings.key_folder)
        access, inbox = Access(office), Inbox(office)
        self.arriving = Arriving(office, inbox)
        self.parts = Parts(access, inbox, Replies(office), self.arriving, Outbox(office, locate), time.time())
        self.sessions: Counter[str] = Counter()
        self.lines: set[asyncssh.SSHServerConnection] = set()

    async def serve(
        self, host: str, port: int, stop: asyncio.Event, ready: Callable[[Address], None]
    ) -> None:
        """Listen until ``stop`` is set.

        Raises:
            Refused: ``drop.address`` if it cannot listen there.
        """
        try:
            listener = await asyncssh.listen(host, port, server_factory=lambda: Door(self), **self._options())
        except OSError:
            raise Refused(
                "drop.address",
                f"expected to listen on {host}:{port}, which is taken or not this machine's",
                "set HUB_DROP_HOST and HUB_DROP_PORT",
            ) from None
        if self.parts.inbox.uploads.unreadable:
            LOG.error("alarm code=upload.card cards=%d", self.parts.inbox.uploads.unreadable)
        keeper = asyncio.ensure_future(self.arriving.look_after())
        ready(Address(host, listener.get_port(), self._key.get_fingerprint()))
        try:
            await stop.wait()
        finally:
            listener.close()
            await self.arriving.drain()
            await self._farewell()
            await self.arriving.drain()
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await self.arriving.run(self.parts.inbox.flush)
            await asyncio.get_running_loop().run_in_executor(None, self.arriving.stop)

    async def _farewell(self) -> None:
        lines = list(self.lines)
        for line in lines:
            line.disconnect(asyncssh.DISC_BY_APPLICATION, "the drop stops; try again in a minute")
        waits = [asyncio.ensure_future(line.wait_closed()) for line in lines]
        if waits:
            await asyncio.wait(waits, timeout=FAREWELL_SECONDS)

    def _options(self) -> dict[str, Any]:
        return {
            "server_host_keys": [self._key],
            "server_version": "Hub",
            "public_key_auth": True,
            "password_auth": False,
            "kbdint_auth": False,
            "host_based_auth": False,
            "gss_host": None,
            "allow_pty": False,
            "line_editor": False,
            "x11_forwarding": False,
            "agent_forwarding": False,
            "allow_scp": False,
            "encoding": None,
            "compression_algs": None,
            "kex_algs": _KEY_EXCHANGE,
            "encryption_algs": _CIPHERS,
            "mac_algs": _MACS,
            "signature_algs": _SIGNATURES,
            "login_timeout": LOGIN_SECONDS,
            "keepalive_interval": 30,
            "keepalive_count_max": 4,
        }


class Door(asyncssh.SSHServer):
    """One connection: it is let in by a partner's registered key, as that partner, for SFTP."""

    def __init__(self, drop: Drop) -> None:
        self._drop = drop
        self._line: asyncssh.SSHServerConnection | None = None
        self._key = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Count the connection; one too many is ended."""
        self._line = conn
        self._drop.lines.add(conn)
        if len(self._drop.lines) > MOST_LINES:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection as gone."""
        if self._line is not None:
            self._drop.lines.discard(self._line)

    def begin_auth(self, username: str) -> bool:
        """Ask for proof of everybody."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Ask for a public key; nothing else opens."""
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Tell whether a key is that of the active partner who is named as the user."""
        try:
            text = key.export_public_key("openssh").decode("ascii")
            admitted = await self._drop.arriving.run(self._drop.parts.access.admit, username, text)
        except HubError as error:
            LOG.warning("action=login code=%s", error.code)
            raise asyncssh.DisconnectError(
                asyncssh.DISC_SERVICE_NOT_AVAILABLE, f"{error.code}: {error.message}; {error.remedy}"
            ) from None
        if admitted:
            self._key = text
        return admitted

    def session_requested(self) -> Channel:
        """Open a channel, if the partner has not too many."""
        line = self._line
        partner = line.get_extra_info("username") if line is not None else None
        drop = self._drop
        if partner is None or drop.arriving.ending:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "the drop is about to stop")
        if drop.sessions[partner] >= MOST_SESSIONS:
            LOG.warning("partner=%s action=session code=drop.busy", partner)
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_RESOURCE_SHORTAGE, f"expected at most {MOST_SESSIONS} sessions, found more"
            )
        drop.sessions[partner] += 1
        LOG.info("partner=%s action=session code=ok", partner)
        return Channel(
            lambda channel: Session(channel, drop.parts, partner, self._key),
            lambda: drop.sessions.subtract([partner]),
        )
