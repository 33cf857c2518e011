"""The running hub: its programs, how they are configured, started, watched and ended.

Airflow is known here as a program only: by its command line, its environment and its health address.
"""
