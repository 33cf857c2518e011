"""Where the hub lives and how it behaves; the only reader of the environment besides the command line."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings of one hub, each from the environment as ``HUB_<NAME>`` or its default.

    Folders are derived from ``home``; the key folder may lie elsewhere (a credential mount), because keys
    must be outside every backup of the data that they open.
    """

    model_config = SettingsConfigDict(env_prefix="HUB_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".hub"), description="where the hub keeps everything it writes")
    keys: Path | None = Field(default=None, description="the key folder; HOME/keys unless set")
    database_url: SecretStr | None = Field(
        default=None,
        description="an external PostgreSQL as its owner: postgresql://user:password@host:port/database",
    )
    agreements: Path | None = Field(default=None, description="folder of agreements; default: the shipped")
    origin: str = Field(default="hub.landkreis-peine.example/transfer-log", description="name of the log")
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
        default=None, description="how other machines reach the pages; http://WEB_HOST:WEB_PORT unless set"
    )
    broker_url: SecretStr | None = Field(
        default=None, description="Redis that hands tasks to Celery workers; unset: they run on this machine"
    )

    @property
    def root(self) -> Path:
        """HUB_HOME as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def key_folder(self) -> Path:
        """The folder of key files, mode 0700."""
        return self.keys.expanduser().absolute() if self.keys else self.root / "keys"

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
        """Where people and tasks reach the pages, without a slash at the end."""
        return (self.web_url or f"http://{self.web_host}:{self.web_port}").rstrip("/")

    @property
    def exchanges(self) -> Path:
        """The list of active agreements, as Airflow's parser reads it."""
        return self.root / "exchanges.json"

    @property
    def public(self) -> Path:
        """What anybody may read: verification keys."""
        return self.root / "public"

    def environment(self) -> dict[str, str]:
        """What a program that belongs to this hub is started with: the caller's environment, and this hub.

        Whatever else could lead Airflow or Python astray is left out; paths are absolute.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HUB_", "AIRFLOW", "PYTHON"))
        }
        given = {name: getattr(self, name) for name in self.model_fields_set | {"home"}}
        return kept | {
            f"HUB_{name.upper()}": _written(value) for name, value in given.items() if value is not None
        }


def _written(value: object) -> str:
    if isinstance(value, Path):
        return str(value.expanduser().absolute())
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
