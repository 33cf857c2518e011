"""The running hub: its programs, how they are configured, started, watched and ended.

Airflow is known here as a program only: by its command line, its environment and its health address.
"""

from hub.service.airflow import airflow_command, airflow_environment, airflow_settings
from hub.service.component import Status
from hub.service.up import Running, running

__all__ = ["Running", "Status", "airflow_command", "airflow_environment", "airflow_settings", "running"]
