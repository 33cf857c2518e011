"""The portal: the hub's pages among Airflow's own, behind Airflow's login.

Every program of Airflow loads this file; only the api-server asks for the pages, and loads them then.
"""

from functools import cached_property
from typing import Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/hub"
_INBOX = "M4 4h16l-2 9h-4l-1 3h-2l-1-3H6zM3 15h6l1 3h4l1-3h6v5H3z"
_CHAIN = "M6 3h12v4H6zM11 7h2v3h-2zM6 10h12v4H6zM11 14h2v3h-2zM6 17h12v4H6z"


def _icon(path: str, colour: str) -> str:
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    body = f'<path fill="{colour}" stroke="#fff" stroke-width="0.8" d="{path}"/>'
    return f"data:image/svg+xml,{quote(head + body)}%3C/svg%3E"


def _view(name: str, page: str, path: str) -> dict[str, Any]:
    return {
        "name": name,
        "href": f"{PREFIX}/{page}",
        "destination": "nav",
        "url_route": f"hub_{page}",
        "nav_top_level": True,
        "icon": _icon(path, "#33475b"),
        "icon_dark_mode": _icon(path, "#d5dee8"),
    }


class Portal(AirflowPlugin):
    """The pages and their places in Airflow's navigation."""

    name = "hub_portal"
    external_views = [  # noqa: RUF012 -- Airflow reads a list
        _view("Einlieferungen", "submissions", _INBOX),
        _view("Protokoll", "log", _CHAIN),
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The pages' app, mounted below ``/hub``; each of its routes asks for Airflow's user."""
        from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415 -- the api-server alone has it
        from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN  # noqa: PLC0415
        from airflow.api_fastapi.core_api.security import get_user  # noqa: PLC0415

        from portal_pages.app import make_app  # noqa: PLC0415

        app = make_app(
            current_user=get_user,
            login_address=lambda page: get_auth_manager().get_url_login(next_url=page),
            session_cookie=COOKIE_NAME_JWT_TOKEN,
        )
        return [{"app": app, "url_prefix": PREFIX, "name": "hub pages"}]
