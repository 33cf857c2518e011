"""The checks of field values, by the word that agreements use for them."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.checks.check import Check
from schemas.checks.codes import CodeCheck, LevelCheck
from schemas.checks.dates import BirthDateCheck, DateCheck, MonthCheck
from schemas.checks.names import NameCheck
from schemas.checks.numbers import DecimalCheck, IntegerCheck
from schemas.checks.patterns import PatternCheck

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        check.name: check
        for check in (
            PatternCheck("participant_number"),
            PatternCheck("course_number"),
            NameCheck(),
            BirthDateCheck(),
            DateCheck(),
            MonthCheck(),
            CodeCheck(),
            LevelCheck(),
            IntegerCheck(),
            DecimalCheck(),
        )
    }
)
