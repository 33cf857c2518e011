"""Validation reports for senders: what was taken, what was not and why, what to do; as text and as JSON.

A report names lines, columns, codes and counts, never a value of a row. Where a fine code would tell the
sender who is known to the hub, the coarse one stands in its place, without a column.
"""

import json
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from hub.errors import Corrupt
from hub.report_words import WORDS, Language, Outcome, Words
from schemas.agreement import Agreement
from schemas.reasons import Reason, catalogue

COUNTS = ("received", "delivered", "already_delivered", "refused", "withheld", "quarantined")
"""The rows received, and the fates among which they are divided without a remainder."""

TEXT_FINDINGS = 10_000
JSON_FINDINGS = 100_000
WIDTH = 100
"""Columns of the text report: what Notepad shows without scrolling."""

FINDINGS = {"place": pl.UInt32, "column": pl.String, "code": pl.String, "fate": pl.String}
"""A finding: line or sheet row (from 1), the agreement's field name or null, reason code, the row's fate."""

_BERLIN = ZoneInfo("Europe/Berlin")
_VEILED = "consent.none"  # what a sender reads of every reason that hangs on persons
_LONGEST_SHEET = 31  # Excel's own limit for a sheet's name
_LONGEST_HEADER = 60


@dataclass(frozen=True)
class Report:
    """The facts of one report; ``sheet`` is the sender's own word, ``columns`` are fields' 0-based places."""

    submission: str
    outcome: Outcome
    agreement: Agreement
    sha256: str
    received_at: datetime
    counts: Mapping[str, int]
    findings: pl.DataFrame
    reason: str | None = None
    notices: Sequence[str] = ()
    sheet: str | None = None
    columns: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = sum(self.counts[name] for name in COUNTS[1:])
        if found != self.counts["received"]:
            message = f"expected the fate of {self.counts['received']} rows, found that of {found}"
            raise Corrupt(
                code="report.counts", message=message, remedy="Report this: it is a defect of the hub."
            )


def coarse_code(code: str) -> str:
    """Give the code that a sender may read; what hangs on persons is never told, even by an unknown code."""
    if code in catalogue():
        return catalogue()[code].coarse
    return _VEILED if code.startswith(("consent.", "person.")) else code


def coarse(counts: Mapping[str, int]) -> dict[str, int]:
    """Add up counts by fine code into counts by the code that a sender may read."""
    told: Counter[str] = Counter()
    for code, rows in counts.items():
        told[coarse_code(code)] += rows
    return dict(sorted(told.items()))


def text(language: Language, report: Report) -> bytes:
    """Write the report for people: UTF-8 with a byte order mark, CRLF, lines of at most `WIDTH` columns."""
    words = WORDS[language]
    lines = [
        *_head(words, report, language),
        *_rows(words, report),
        *_reasons(words, report, language),
        *_places(words, report, language),
        words.closing,
    ]
    wrapped = [piece for line in lines for piece in _wrap(line)]
    return ("\r\n".join(wrapped) + "\r\n").encode("utf-8-sig")


def as_json(report: Report) -> bytes:
    """Write the report for programs, with the sentences of each code once, in both languages."""
    table = told(report.findings, report.columns)
    sheet = _plain(report.sheet, _LONGEST_SHEET) if report.sheet else None
    headers = _headers(report.agreement)
    findings = [
        _without_empty(
            place=place,
            sheet=sheet,
            letter=_letter(report, column),
            column=headers.get(column),
            code=code,
            fate=fate,
        )
        for place, column, code, fate in table.head(JSON_FINDINGS).iter_rows()
    ]
    codes = {*table["code"].unique(), *_file_codes(report), *coarse(report.reasons)}
    told_codes = {code: catalogue()[code] for code in sorted(codes & catalogue().keys())}
    document = {
        "submission": report.submission,
        "outcome": report.outcome,
        "agreement": {"id": report.agreement.id, "version": report.agreement.version},
        "sender": report.agreement.sender.id,
        "recipient": report.agreement.recipient.id,
        "file": {"sha256": report.sha256, "sheet": sheet, "codes": _file_codes(report)},
        "received_at": report.received_at.isoformat(),
        "rows": {name: report.counts[name] for name in COUNTS},
        "reasons": coarse(report.reasons),
        "findings": findings,
        "further_findings": max(0, table.height - JSON_FINDINGS),
        "codes": {code: _sentences(reason) for code, reason in told_codes.items()},
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def told(findings: pl.DataFrame, columns: Mapping[str, int]) -> pl.DataFrame:
    """Reduce findings to what the sender may read: coarse codes, no column beside them, each line once."""
    codes = {code: coarse_code(code) for code in findings["code"].unique()}
    order = dict(columns) or {"": 0}
    return (
        findings.select(list(FINDINGS))
        .with_columns(told=pl.col("code").replace_strict(codes, default=None, return_dtype=pl.String))
        .select(
            "place",
            column=pl.when(pl.col("told") == pl.col("code")).then("column"),
            code="told",
            fate="fate",
        )
        .unique(maintain_order=True)
        .with_columns(
            at=pl.col("column").replace_strict(order, default=len(order), return_dtype=pl.Int64).fill_null(-1)
        )
        .sort("place", "at", maintain_order=True)
        .drop("at")
    )


def _head(words: Words, report: Report, language: Language) -> Iterator[str]:
    agreement, at = report.agreement, report.received_at.astimezone(_BERLIN)
    title = getattr(agreement.title, language)
    yield words.title
    yield "=" * len(words.title)
    yield ""
    facts = (
        report.submission,
        f"{agreement.id} {agreement.version}, {title}",
        agreement.sender.name,
        agreement.recipient.name,
        at.strftime(words.time_format),
        report.sha256,
    )
    yield from (f"{label + ':':<16}{fact}" for label, fact in zip(words.head, facts, strict=True))
    yield ""
    taken = report.counts["delivered"] + report.counts["already_delivered"]
    nothing = report.outcome == "partially_accepted" and not taken
    yield words.outcome["none_accepted" if nothing else report.outcome]
    yield ""


def _rows(words: Words, report: Report) -> Iterator[str]:
    yield words.rows
    yield "-" * len(words.rows)
    for name in COUNTS:
        yield f"  {words.counts[name]:<22}{report.counts[name]:>9}"
    parts = " + ".join(str(report.counts[name]) for name in COUNTS[1:])
    yield f"  {report.counts['received']} = {parts}. {words.conserved}"
    yield ""


def _reasons(words: Words, report: Report, language: Language) -> Iterator[str]:
    counted = coarse(report.reasons)
    known = [code for code in _file_codes(report) if code not in counted]
    if not known and not counted:
        return
    yield words.reasons
    yield "-" * len(words.reasons)
    for code in (*known, *counted):
        sentence, remedy = _told_in(language, code)
        rows = counted.get(code, 0)
        count = f" [{words.row if rows == 1 else words.rows_of.format(rows)}]" if rows else ""
        yield f"  - {sentence}{count} ({code})"
        if remedy:
            yield f"    {words.to_do} {remedy}"
    yield ""


def _places(words: Words, report: Report, language: Language) -> Iterator[str]:
    table, headers = told(report.findings, report.columns), _headers(report.agreement)
    if table.is_empty():
        return
    sheet = _plain(report.sheet, _LONGEST_SHEET) if report.sheet else None
    sentences = {code: _told_in(language, code)[0] for code in table["code"].unique()}
    yield words.places
    yield "-" * len(words.places)
    for place, column, code, _ in table.head(TEXT_FINDINGS).iter_rows():
        header, letter = headers.get(column), _letter(report, column)
        yield f"  {words.place(sheet, place, letter, header)}: {sentences[code]} ({code})"
    if (more := table.height - TEXT_FINDINGS) > 0:
        yield "  " + words.more.format(more)
    yield ""


def _file_codes(report: Report) -> list[str]:
    codes = (*((report.reason,) if report.reason else ()), *report.notices)
    return list(dict.fromkeys(coarse_code(code) for code in codes))


def _headers(agreement: Agreement) -> dict[str | None, str]:
    return {each.name: _plain(each.header, _LONGEST_HEADER) for each in agreement.fields}


def _letter(report: Report, column: str | None) -> str | None:
    """Name a sheet's column as the spreadsheet does (A, B, ... Z, AA); None where there is no sheet."""
    if report.sheet is None or column is None or column not in report.columns:
        return None
    letters, number = "", report.columns[column] + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _told_in(language: Language, code: str) -> tuple[str, str]:
    reason = catalogue().get(code)
    if reason is None:
        return WORDS[language].unknown, ""
    return (reason.de, reason.remedy_de) if language == "de" else (reason.en, reason.remedy_en)


def _sentences(reason: Reason) -> dict[str, str]:
    return {"de": reason.de, "en": reason.en, "remedy_de": reason.remedy_de, "remedy_en": reason.remedy_en}


def _plain(word: str, longest: int) -> str:
    """Take control, direction and line characters out of a sender's word, and its length down."""
    kept = "".join(
        sign for sign in word if unicodedata.category(sign)[0] != "C" and sign not in "\u2028\u2029"
    )
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def _without_empty(**parts: Any) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part is not None}


def _wrap(line: str) -> Iterable[str]:
    if len(line) <= WIDTH:
        return (line,)
    depth = len(line) - len(line.lstrip(" "))
    indent = " " * (depth + 2) if depth else ""
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False)
