"""The receipts folder: receipts and reports as files that are made when they are asked for."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from connectors.drop.names import stem
from hub import replies
from hub.errors import HubError
from hub.office import Office
from hub.replies import Posted

SHOWN: Final = timedelta(days=30)
KEPT: Final = 64 << 20  # bytes of rendered reports
REPORTS: Final = ("bericht.txt", "report.txt", "report.json")


@dataclass(frozen=True)
class Reply:
    """A file of the receipts folder."""

    name: str
    submission: str
    end: str
    size: int
    at: datetime


class Replies:
    """What lies ready for senders. A report is rendered once; its size is remembered, its bytes for a while.

    Rendering a report twice gives the same bytes as long as its submission has the same outcome.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._lock = threading.Lock()
        self._sizes: dict[tuple[str, str], dict[str, int]] = {}
        self._rendered: OrderedDict[tuple[str, str], dict[str, bytes]] = OrderedDict()
        self._kept = 0

    def listed(self, sender: str) -> dict[str, Reply]:
        """List a sender's receipts and reports of the last 30 days, by file name."""
        found = {}
        for one in replies.posted(self._office, sender, SHOWN):
            begin = f"{first}." if (first := stem(one.name)) else ""
            sizes = {end: len(content) for end, content in replies.receipt_files(one.tokens).items()}
            for end, size in {**sizes, **self._report_sizes(one)}.items():
                name = f"{begin}{one.submission}.{end}"
                found[name] = Reply(name, one.submission, end, size, one.at)
        return found

    def content(self, sender: str, name: str) -> bytes | None:
        """Give a file's bytes; None if there is no such file."""
        for one in replies.posted(self._office, sender, SHOWN):
            begin, found, end = name.partition(f"{one.submission}.")
            if found and begin.removesuffix(".") == stem(one.name):
                receipts = replies.receipt_files(one.tokens)
                return receipts[end] if end in receipts else self._reports(one).get(end)
        return None

    def _report_sizes(self, one: Posted) -> dict[str, int]:
        if one.settled is None:
            return {}
        sizes = self._sizes.get((one.submission, one.settled))
        if sizes is None:
            sizes = {end: len(content) for end, content in self._reports(one).items()}
        return sizes

    def _reports(self, one: Posted) -> dict[str, bytes]:
        if one.settled is None:
            return {}
        key = (one.submission, one.settled)
        with self._lock:
            if key in self._rendered:
                self._rendered.move_to_end(key)
                return self._rendered[key]
        try:
            made = replies.report_files(self._office, one.submission)
        except HubError as error:
            if error.code.startswith("database."):
                raise
            return {}  # expired, or damaged: its receipts are there all the same
        with self._lock:
            self._sizes[key] = {end: len(content) for end, content in made.items()}
            self._rendered[key] = made
            self._kept += sum(map(len, made.values()))
            while self._kept > KEPT:
                _, old = self._rendered.popitem(last=False)
                self._kept -= sum(map(len, old.values()))
        return made
