"""Field checks: how the text of a cell is judged, explained and brought into its canonical form."""

from schemas.checks.check import Check, CheckOptions
from schemas.checks.rows import row_model
from schemas.checks.table import CHECKS

__all__ = ["CHECKS", "Check", "CheckOptions", "row_model"]
