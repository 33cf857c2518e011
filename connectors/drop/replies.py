"""The receipts folder: receipts and reports as files that are made when they are asked for."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from connectors.drop.names import stem
from connectors.drop.recent import A_WHILE, Recent
from hub import replies
from hub.errors import HubError
from hub.office import Office
from hub.replies import Posted

SHOWN: Final = timedelta(days=30)
KEPT: Final = 64 << 20  # bytes of rendered reports


@dataclass(frozen=True)
class Reply:
    """A file of the receipts folder."""

    name: str
    of: Posted
    end: str
    size: int

    @property
    def at(self) -> datetime:
        """When it was last added to."""
        return self.of.at


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
        self._recent: Recent[str, dict[str, Reply]] = Recent()

    def listed(self, sender: str) -> dict[str, Reply]:
        """List a sender's receipts and reports of the last 30 days, by file name."""
        return self._recent.get(sender, lambda: self._list(sender))

    def find(self, sender: str, name: str) -> Reply | None:
        """Find a reply by its file name."""
        known = self._recent.get(sender, lambda: self._list(sender), A_WHILE)
        return known.get(name) or self.listed(sender).get(name)

    def forget(self, sender: str) -> None:
        """Look anew next time: a receipt was added."""
        self._recent.forget(sender)

    def _list(self, sender: str) -> dict[str, Reply]:
        found = {}
        for one in replies.posted(self._office, sender, SHOWN):
            begin = f"{first}." if (first := stem(one.name)) else ""
            sizes = {end: len(content) for end, content in replies.receipt_files(one.tokens).items()}
            for end, size in {**sizes, **self._report_sizes(one)}.items():
                name = f"{begin}{one.submission}.{end}"
                found[name] = Reply(name, one, end, size)
        return found

    def content(self, sender: str, name: str) -> bytes | None:
        """Give a file's bytes; None if there is no such file."""
        reply = self.find(sender, name)
        if reply is None:
            return None
        receipts = replies.receipt_files(reply.of.tokens)
        return receipts[reply.end] if reply.end in receipts else self._reports(reply.of).get(reply.end)

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
