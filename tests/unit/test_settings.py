"""Settings: what holds a password may come by file, and then goes on to other programs by file."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hub.settings import Settings

URL = "postgresql://postgres:geheim@database:5432/postgres"


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "hub_database_url"
    file.write_text(f"{URL}\n", encoding="utf-8")
    monkeypatch.setenv("HUB_DATABASE_URL_FILE", str(file))
    return file


def told(settings: Settings) -> str | None:
    return settings.database_url.get_secret_value() if settings.database_url else None


@pytest.mark.usefixtures("secret")
def test_a_secret_may_stand_in_a_file_that_the_environment_names() -> None:
    assert told(Settings()) == URL


def test_a_secret_that_came_by_file_goes_on_by_file(secret: Path) -> None:
    environment = Settings().environment()
    assert environment["HUB_DATABASE_URL_FILE"] == str(secret)
    assert not [name for name, value in environment.items() if "geheim" in value]


def test_what_is_given_in_words_counts_more_than_a_file(secret: Path) -> None:
    settings = Settings(database_url="postgresql://elsewhere/postgres")
    assert told(settings) == "postgresql://elsewhere/postgres"
    assert settings.environment()["HUB_DATABASE_URL"] == "postgresql://elsewhere/postgres"
    assert str(secret) not in settings.environment().values()


def test_a_file_that_holds_nothing_is_refused_by_its_variable_and_its_content_stays_unsaid(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for make in (lambda: secret.write_text(" \n"), secret.unlink):
        make()
        with pytest.raises(ValidationError) as refused:
            Settings()
        assert [part["loc"] for part in refused.value.errors()] == [("database_url_file",)]
    monkeypatch.delenv("HUB_DATABASE_URL_FILE")
    assert told(Settings()) is None


@pytest.mark.usefixtures("secret")
def test_no_setting_that_is_wrong_shows_a_secret_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_WEB_PORT", "many")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "geheim" not in str(refused.value)


def test_tasks_reach_the_api_server_as_people_do_unless_told_otherwise() -> None:
    assert Settings(web_url="https://hub.example/").work_address == "https://hub.example"
    assert Settings(web_url="https://hub.example", work_url="http://api-server:8080/").work_address == (
        "http://api-server:8080"
    )
