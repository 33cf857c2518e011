"""Where the hub lives and how it behaves; the only reader of the environment besides the command line."""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_BY_FILE = ("database_url", "broker_url")


class Settings(BaseSettings):
    """All settings of one hub, each from the environment as ``HUB_<NAME>`` or its default.

    Folders are derived from ``home``; the key folder may lie elsewhere (a credential mount), because keys
    must be outside every backup of the data that they open. What holds a password may stand in a file instead
    (a mounted secret), named by ``HUB_<NAME>_FILE``.
    """

    model_config = SettingsConfigDict(
        env_prefix="HUB_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(default=Path(".hub"), description="where the hub keeps everything it writes")
    keys: Path | None = Field(default=None, description="the key folder; HOME/keys unless set")
    database_url: SecretStr | None = Field(
        default=None,
        description="an external PostgreSQL as its owner: postgresql://user:password@host:port/database",
    )
    database_url_file: Path | None = Field(default=None, description="a file that holds HUB_DATABASE_URL")
    agreements: Path | None = Field(default=None, description="folder of agreements; default: the shipped")
    retention: Path | None = Field(default=None, description="periods of retention; default: the shipped")
    origin: str = Field(default="hub.landkreis-peine.example/transfer-log", description="name of the log")
    policy: Path | None = Field(
        default=None, description="the log's witnesses, as a C2SP tlog-policy; HOME/policy.txt unless set"
    )
    journal: Path | None = Field(
        default=None, description="folder of the journal, off this machine; HOME-journal unless set"
    )
    log_patience: float = Field(
        default=60, gt=0, description="seconds without a log that can be written, after which traffic stops"
    )
    alarm_command: Path | None = Field(
        default=None, description="a program to be called with code and message when the hub raises an alarm"
    )
    lease_seconds: float = Field(default=300, gt=0, description="silence that ends a step's lease")
    part_rows: int = Field(default=50_000, ge=1, description="rows in one staged part")
    free_bytes: int = Field(default=3_000_000_000, ge=0, description="free disk that `hub init` asks for")

    lot_submissions: int = Field(default=50, ge=1, description="most submissions that one run takes")
    lot_bytes: int = Field(default=500_000_000, ge=1, description="bytes after which a run takes no more")
    drop_host: str = Field(default="127.0.0.1", description="address on which the SFTP drop listens")
    drop_port: int = Field(default=2222, ge=1, le=65_535, description="port of the SFTP drop")
    web_host: str = Field(default="127.0.0.1", description="address on which the pages listen")
    web_port: int = Field(default=8080, ge=1, le=65_535, description="port of the pages (Airflow's)")
    web_url: str | None = Field(
        default=None, description="how people reach the pages; http://WEB_HOST:WEB_PORT unless set"
    )
    work_url: str | None = Field(
        default=None, description="how tasks reach Airflow's api-server; as people reach the pages unless set"
    )
    broker_url: SecretStr | None = Field(
        default=None, description="Redis that hands tasks to Celery workers; unset: they run on this machine"
    )
    broker_url_file: Path | None = Field(default=None, description="a file that holds HUB_BROKER_URL")
    workers: int = Field(default=1, ge=1, description="how many Celery workers share the tasks")

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Read what is given by file. What is given both ways counts by its words; the file is forgotten."""
        forgotten = {f"{name}_file" for name in _BY_FILE if name in given}
        kept = {name: value for name, value in given.items() if name not in forgotten}
        filed = {name: kept[f"{name}_file"] for name in _BY_FILE if kept.get(f"{name}_file")}
        return kept | {name: _secret(Path(file)) for name, file in filed.items()}

    @field_validator("database_url_file", "broker_url_file")
    @classmethod
    def _holds_a_secret(cls, file: Path | None) -> Path | None:
        if file is not None and _secret(file) is None:
            message = "a file that can be read and is not empty"
            raise ValueError(message)
        return file

    @property
    def root(self) -> Path:
        """HUB_HOME as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def key_folder(self) -> Path:
        """The folder of key files, mode 0700."""
        return self.keys.expanduser().absolute() if self.keys else self.root / "keys"

    @property
    def journal_folder(self) -> Path:
        """Where journals are kept, each in a folder of its own; best on another machine's disk."""
        if self.journal:
            return self.journal.expanduser().absolute()
        return self.root.with_name(f"{self.root.name}-journal")

    @property
    def data(self) -> Path:
        """Sealed files: inbox, staging, outbox."""
        return self.root / "data"

    @property
    def postgres(self) -> Path:
        """The embedded database's data folder."""
        return self.root / "postgres"

    @property
    def run(self) -> Path:
        """Process ids, locks and logs of running parts."""
        return self.root / "run"

    @property
    def airflow(self) -> Path:
        """Airflow's own home: its configuration, logs and logins."""
        return self.root / "airflow"

    @property
    def web_address(self) -> str:
        """Where people reach the pages, without a slash at the end."""
        return (self.web_url or f"http://{self.web_host}:{self.web_port}").rstrip("/")

    @property
    def work_address(self) -> str:
        """Where tasks reach Airflow's api-server, without a slash at the end."""
        return (self.work_url or self.web_address).rstrip("/")

    @property
    def exchanges(self) -> Path:
        """The list of active agreements, as Airflow's parser reads it."""
        return self.root / "exchanges.json"

    @property
    def public(self) -> Path:
        """What anybody may read: verification keys."""
        return self.root / "public"

    @property
    def public_log(self) -> Path:
        """The log's checkpoint and hash tiles, for anybody to fetch (C2SP tlog-tiles)."""
        return self.root / "public-log"

    @property
    def policy_file(self) -> Path:
        """Whom the hub knows as witnesses of its log (C2SP tlog-policy); there may be none."""
        return self.policy.expanduser().absolute() if self.policy else self.root / "policy.txt"

    def environment(self) -> dict[str, str]:
        """What a program that belongs to this hub is started with: the caller's environment, and this hub.

        Whatever else could lead Airflow or Python astray is left out; paths are absolute. A secret that
        came by file goes on by file.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HUB_", "AIRFLOW", "PYTHON"))
        }
        told = self.model_fields_set | {"home"}
        told -= {name for name in _BY_FILE if f"{name}_file" in told}
        given = {name: getattr(self, name) for name in told}
        return kept | {
            f"HUB_{name.upper()}": _written(value) for name, value in given.items() if value is not None
        }


def _written(value: object) -> str:
    if isinstance(value, Path):
        return str(value.expanduser().absolute())
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _secret(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
