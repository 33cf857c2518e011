"""The client: OpenSSH's own ``sftp``, as partners have it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hub.errors import Transient

LONGEST: Final = 120  # seconds that one visit may take


@dataclass(frozen=True)
class Client:
    """A partner at its desk: its key, and the hub's address and host key as it was told them."""

    partner: str
    key: Path
    known_hosts: Path
    host: str
    port: int

    def do(self, *commands: str) -> str:
        """Run commands in one visit, as with ``sftp -b``; gives what the client prints.

        Raises:
            Transient: ``demo.sftp`` if any of them fails.
        """
        done = subprocess.run(
            [  # noqa: S607 -- the partner's own program, wherever it lies
                "sftp",
                "-q",
                *("-b", "-"),
                *("-P", str(self.port)),
                *("-i", str(self.key)),
                *("-o", f'UserKnownHostsFile="{self.known_hosts}"'),
                *("-o", "StrictHostKeyChecking=yes"),
                *("-o", "IdentitiesOnly=yes"),
                *("-o", "BatchMode=yes"),
                *("-F", "none"),
                f"{self.partner}@{self.host}",
            ],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise Transient(
                "demo.sftp",
                f"sftp as {self.partner} ended with {done.returncode}: {said[-1] if said else 'no word'}",
                "see HUB_HOME/run/logs",
            )
        return done.stdout

    def drop(self, file: Path, agreement: str) -> None:
        """Drop a file."""
        self.do(f'put "{file}" "inbox/{agreement}/{file.name}"')

    def receipts(self) -> list[str]:
        """Name the receipts and reports that lie ready."""
        return [Path(line.strip()).name for line in self.do("ls -1 receipts").splitlines()[1:]]

    def fetch(self, remote: str, folder: Path) -> None:
        """Fetch everything that a pattern without blanks names."""
        folder.mkdir(parents=True, exist_ok=True)
        self.do(f'get {remote} "{folder}/"')  # in quotes it would be no pattern
