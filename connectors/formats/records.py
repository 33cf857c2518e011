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
FIRST_PRINTABLE: Final = 0x20

_BEFORE_BLANK: Final = (0x20, 0x09, 0xA0, 0x87, 0xAF, CR)
"""Last bytes of the blanks in UTF-8 (space, tab, U+00A0, U+2007, U+202F): a hint, not a proof. A carriage
return before the line feed may hide one."""
_AFTER_BLANK: Final = (0x20, 0x09, 0xC2, 0xE2)
"""First bytes of the same."""


@dataclass(frozen=True)
class Records:
    """The complete records of a piece of text; positions are byte offsets into it.

    A record is ``text[starts[i] : ends[i]]``, its line feed stands at ``ends[i]``. ``fields[i]`` counts its
    cells, 0 where a quotation mark is out of place. ``lines[i]`` counts the line feeds before it. What lies
    behind ``consumed`` is an incomplete record; ``consumed_lines`` counts the line feeds before it.
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
    quoted: bool
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
    if quoted:
        is_end, is_separator, strays = _outside(text, octets, specials, kinds, delimiter)
        chosen = np.flatnonzero(is_separator)
        at_end = np.flatnonzero(is_end[chosen])
        end_specials = chosen[at_end]
        separators = specials[chosen]
        lines_after = np.cumsum(feeds)[end_specials]
    else:
        strays = np.empty(0, dtype=np.int64)
        separators = specials
        end_specials = at_end = np.flatnonzero(feeds)
        lines_after = np.arange(1, len(at_end) + 1)
    ends = specials[end_specials]
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
        quoted=quoted,
        blanks=_may_hold_blanks(octets, specials),
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
    low = octets < FIRST_PRINTABLE
    low |= octets == DELETE
    # Most texts hold line feeds only, and then counting says it all.
    if np.count_nonzero(low) == text.count(b"\n"):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
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
) -> tuple[_Flags, _Flags, Places]:
    """Which specials end a record, which separate cells (ends included), and the ends of stray records."""
    is_quote = kinds == QUOTE
    feeds = kinds == LF
    quotes_so_far = np.cumsum(is_quote)
    odd = (quotes_so_far & 1).astype(np.bool_)
    out_of_place = _out_of_place(octets, specials[is_quote], delimiter)
    # A world is the parity of quotation marks before a record: what is outside of quotes in one world is
    # inside in the other. Everything is worked out for both, and the walk below only chooses.
    ends = [np.flatnonzero(feeds & ~odd), np.flatnonzero(feeds & odd)]
    quote_specials = np.flatnonzero(is_quote)
    strays = [quote_specials[out_of_place[0]], quote_specials[out_of_place[1]]]
    is_end = np.zeros(len(specials), dtype=np.bool_)
    is_separator = np.zeros(len(specials), dtype=np.bool_)
    stray_ends: list[int] = []
    world = start = 0
    while start < len(specials):
        upcoming = strays[world]
        next_stray = int(np.searchsorted(upcoming, start))
        limit = int(upcoming[next_stray]) if next_stray < len(upcoming) else len(specials)
        first, last = np.searchsorted(ends[world], (start, limit))
        good = ends[world][first:last]
        stop = int(good[-1]) + 1 if len(good) else start
        is_end[good] = True
        is_separator[start:stop] = (odd[start:stop] == bool(world)) & ~is_quote[start:stop]
        if limit == len(specials):
            break
        from_byte = int(specials[stop - 1]) + 1 if stop else 0
        end = record_end(text, from_byte, delimiter)
        if end is None:
            break
        stray_ends.append(end)
        at = int(np.searchsorted(specials, end))
        is_end[at] = is_separator[at] = True
        world = int(odd[at])
        start = at + 1
    return is_end, is_separator, np.array(stray_ends, dtype=np.int64)


def _out_of_place(octets: _Octets, quotes: Places, delimiter: bytes) -> tuple[_Flags, _Flags]:
    """Per world, which quotation marks neither open nor close a cell there nor are doubled inside one."""
    last = len(octets) - 1
    before = octets[np.maximum(quotes - 1, 0)]
    after = octets[np.minimum(quotes + 1, last)]
    after_next = octets[np.minimum(quotes + 2, last)]
    opens = (quotes == 0) | (before == delimiter[0]) | (before == LF) | (before == QUOTE)
    closes = (after == delimiter[0]) | (after == LF) | (after == QUOTE) | ((after == CR) & (after_next == LF))
    opening = np.arange(len(quotes)) % 2 == 0
    return (np.where(opening, ~opens, ~closes), np.where(opening, ~closes, ~opens))


def _may_hold_blanks(octets: _Octets, specials: Places) -> bool:
    after = octets[np.minimum(specials + 1, len(octets) - 1)]
    before = octets[np.maximum(specials - 1, 0)]
    first = octets[:1]
    hint = any(bool((after == octet).any()) or bool((first == octet).any()) for octet in _AFTER_BLANK)
    return hint or any(bool((before == octet).any()) for octet in _BEFORE_BLANK)
