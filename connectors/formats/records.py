"""Where the records of delimited text begin and end (RFC 4180), found with numpy.

A quotation mark opens a quoted cell only at a cell's start. In text that keeps to this, a line feed ends a
record exactly when an even number of quotation marks precedes it, which is a cumulative sum. Text that does
not keep to it is noticed at the first quotation mark out of place; that one record is then walked cell by
cell, and after it the sum goes on with the parity that holds there. So a stray quotation mark costs its own
record and never those behind it.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
_Octets = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]

LF: Final = 0x0A
CR: Final = 0x0D
TAB: Final = 0x09
QUOTE: Final = 0x22
DELETE: Final = 0x7F
SPACE: Final = 0x20

_RARE: Final = (b"\r", "\u00a0".encode(), "\u2007".encode(), "\u202f".encode())
"""A carriage return and the blanks beyond ASCII (letters like à share single octets with them)."""


@dataclass(frozen=True)
class Records:
    """The complete records of a piece of text; positions are byte offsets into it.

    A record is ``text[starts[i] : ends[i]]``, its line feed stands at ``ends[i]``. ``fields[i]`` counts its
    cells, 0 where a quotation mark is out of place. ``lines[i]`` counts the line feeds before it. What lies
    behind ``consumed`` is an incomplete record; ``consumed_lines`` counts the line feeds before it, ``feeds``
    all of them.
    ``separators`` are the delimiters and record ends outside of quoted cells; ``blanks`` says whether a cell
    may begin or end with a blank.
    """

    starts: Places
    ends: Places
    fields: Places
    lines: Places
    separators: Places
    consumed: int
    consumed_lines: int
    feeds: int
    blanks: bool


def find(text: bytes, delimiter: bytes) -> Records:
    """Find the records of a text that begins with a record's first byte and ends with a line feed."""
    octets = np.frombuffer(text, dtype=np.uint8)
    quoted = b'"' in text
    marks = (octets == delimiter[0]) | (octets == LF)
    if quoted:
        marks |= octets == QUOTE
    specials = np.flatnonzero(marks)
    kinds = octets[specials]
    feeds = kinds == LF
    strays: list[int] = []
    if quoted:
        is_end, is_separator, strays = _outside(text, octets, specials, kinds, delimiter)
        chosen = np.flatnonzero(is_separator)
        at_end = np.flatnonzero(is_end[chosen])
        separators = specials[chosen]
        lines_after = np.cumsum(feeds)[chosen[at_end]]
    else:
        separators = specials
        at_end = np.flatnonzero(feeds)
        lines_after = np.arange(1, len(at_end) + 1)
    ends = separators[at_end]
    fields = np.diff(at_end, prepend=-1)
    fields[np.searchsorted(ends, strays)] = 0
    none = len(ends) == 0
    return Records(
        starts=np.concatenate(([0], ends[:-1] + 1))[: len(ends)],
        ends=ends,
        fields=fields,
        lines=np.concatenate(([0], lines_after[:-1]))[: len(ends)],
        separators=separators,
        consumed=0 if none else int(ends[-1]) + 1,
        consumed_lines=0 if none else int(lines_after[-1]),
        feeds=int(np.count_nonzero(feeds)),
        blanks=_may_hold_blanks(text, octets, marks),
    )


def record_end(text: bytes, start: int, delimiter: bytes) -> int | None:
    """Walk one record cell by cell and return the offset of its line feed, or None where it is not complete.

    What follows a closing quotation mark, and any quotation mark inside an unquoted cell, is taken as text
    up to the next delimiter or line feed.
    """
    stop = re.escape(delimiter) + rb"\n"
    cell = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"[^' + stop + rb']*+|[^"' + stop + rb"][^" + stop + rb"]*+|")
    position = start
    while (found := cell.match(text, position)) and found.end() < len(text):
        position = found.end()
        octet = text[position]
        if octet == LF:
            return position
        if octet == QUOTE:
            return None
        position += 1
    return None


def controls(text: bytes, records: Records) -> tuple[Places, Places]:
    """Control characters that no cell may hold: the record of each, and the cell within it (0-based).

    Tabs and line feeds are text; a carriage return is one only before a line feed.
    """
    octets = np.frombuffer(text, dtype=np.uint8)
    low = octets < SPACE
    # Most texts hold line feeds only, and then counting says it all.
    if np.count_nonzero(low) == records.feeds and DELETE not in text:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    low |= octets == DELETE
    found = np.flatnonzero(low)
    kinds = octets[found]
    following = octets[np.minimum(found + 1, len(octets) - 1)]
    bad = (kinds != LF) & (kinds != TAB) & ~((kinds == CR) & (following == LF))
    bad &= found < records.consumed
    found = found[bad]
    rows = np.searchsorted(records.ends, found)
    before = np.searchsorted(records.separators, found)
    cells = before - np.searchsorted(records.separators, records.starts[rows])
    return rows, cells


def _outside(
    text: bytes, octets: _Octets, specials: Places, kinds: _Octets, delimiter: bytes
) -> tuple[_Flags, _Flags, list[int]]:
    """Which specials end a record, which separate cells (ends included), and the ends of stray records."""
    is_quote = kinds == QUOTE
    feeds = kinds == LF
    # Only the parity counts, so the sum may overflow.
    odd = (np.cumsum(is_quote, dtype=np.uint8) & 1).astype(np.bool_)
    quote_specials = np.flatnonzero(is_quote)
    opens, closes = _in_place(octets, specials[quote_specials], delimiter)
    opening = np.arange(len(quote_specials)) % 2 == 0
    if np.where(opening, opens, closes).all():
        return feeds & ~odd, ~(odd | is_quote), []
    # A world is the parity of quotation marks before a record: what is outside of quotes in one world is
    # inside in the other. Everything is worked out for both, and the walk only chooses.
    ends = (np.flatnonzero(feeds & ~odd), np.flatnonzero(feeds & odd))
    strays = (
        quote_specials[~np.where(opening, opens, closes)],
        quote_specials[~np.where(opening, closes, opens)],
    )
    is_end = np.zeros(len(specials), dtype=np.bool_)
    is_separator = np.zeros(len(specials), dtype=np.bool_)
    stray_ends: list[int] = []
    world = start = 0
    while start < len(specials):
        upcoming = strays[world]
        following = int(np.searchsorted(upcoming, start))
        limit = int(upcoming[following]) if following < len(upcoming) else len(specials)
        first, last = np.searchsorted(ends[world], (start, limit))
        good = ends[world][first:last]
        stop = int(good[-1]) + 1 if len(good) else start
        is_end[good] = True
        is_separator[start:stop] = (odd[start:stop] == bool(world)) & ~is_quote[start:stop]
        if limit == len(specials):
            break
        end = record_end(text, int(specials[stop - 1]) + 1 if stop else 0, delimiter)
        if end is None:
            break
        stray_ends.append(end)
        at = int(np.searchsorted(specials, end))
        is_end[at] = is_separator[at] = True
        world = int(odd[at])
        start = at + 1
    return is_end, is_separator, stray_ends


def _in_place(octets: _Octets, quotes: Places, delimiter: bytes) -> tuple[_Flags, _Flags]:
    """Which quotation marks may open a cell (or be the second of a doubled one), and which may close one."""
    before = octets[np.maximum(quotes - 1, 0)]
    opens = (quotes == 0) | (before == delimiter[0]) | (before == LF) | (before == QUOTE)
    # The text ends with a line feed: after a quotation mark there is always something.
    after = octets[quotes + 1]
    closes = (after == delimiter[0]) | (after == LF) | (after == QUOTE)
    returns = np.flatnonzero(after == CR)
    closes[returns] = octets[np.minimum(quotes[returns] + 2, len(octets) - 1)] == LF
    return opens, closes


def _may_hold_blanks(text: bytes, octets: _Octets, marks: _Flags) -> bool:
    """Whether a blank may stand beside a mark or at the text's start; a carriage return may hide one."""
    if any(blank in text for blank in _RARE):
        return True
    for blank in (SPACE, TAB):
        if blank not in text:
            continue
        found = np.flatnonzero(octets == blank)
        if found[0] == 0 or marks[found - 1].any() or marks[found + 1].any():
            return True
    return False
