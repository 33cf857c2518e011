"""The hub's pages: FastAPI and templates, no business rules. Nothing here imports Airflow."""
