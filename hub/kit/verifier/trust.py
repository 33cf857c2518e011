"""The trust file: what the auditor knows without the kit. C2SP tlog-policy, and two lines of our own."""

from __future__ import annotations

from collections.abc import Iterable

from hub.kit.verifier.notes import Key, Malformed, decimal, exact_base64, read_log_key, read_witness_key
from hub.kit.verifier.words import Findings

GroupRule = tuple[int, tuple[str, ...]]


class Trust:
    """Keys of logs, of the issuer of receipts and of witnesses, the quorum, and checkpoints on paper."""

    def __init__(self) -> None:
        self.logs: list[Key] = []
        self.receipts: list[Key] = []
        self.witnesses: dict[str, Key] = {}
        self.groups: dict[str, GroupRule] = {}
        self.quorum = "none"
        self.kept: list[tuple[int, bytes]] = []
        self.has_quorum = False
        self._members: set[str] = set()

    def take(self, line: str) -> None:
        """Read one line. Raises `Malformed` and changes nothing where it has no such form."""
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            return
        verb, rest = words[0], words[1:]
        if verb == "log" and len(rest) in (1, 2):
            self.logs.append(_not_in(read_log_key(rest[0]), self.logs))
        elif verb == "receipt" and len(rest) == 1:
            self.receipts.append(_not_in(read_log_key(rest[0]), self.receipts))
        elif verb == "witness" and len(rest) in (2, 3):
            self.witnesses[self._fresh(rest[0])] = _not_in(read_witness_key(rest[1]), self.witnesses.values())
        elif verb == "group" and len(rest) >= 3:
            self.groups[self._fresh(rest[0])] = self._group(rest[1], rest[2:])
        elif verb == "quorum" and len(rest) == 1 and not self.has_quorum:
            if rest[0] != "none" and not self._is_known(rest[0]):
                raise Malformed
            self.quorum, self.has_quorum = rest[0], True
        elif verb == "kept" and len(rest) == 2:
            root = exact_base64(rest[1])
            if len(root) != 32:
                raise Malformed
            self.kept.append((decimal(rest[0]), root))
        else:
            raise Malformed

    def is_reached(self, cosigners: set[str], name: str | None = None) -> bool:
        """Tell whether these witnesses make the quorum, or the group of this name."""
        name = name or self.quorum
        if name == "none":
            return True
        if name in self.witnesses:
            return name in cosigners
        least, members = self.groups[name]
        return sum(self.is_reached(cosigners, member) for member in members) >= least

    def _group(self, least: str, members: list[str]) -> GroupRule:
        if len(set(members)) != len(members) or not all(map(self._is_known, members)):
            raise Malformed
        if self._members & set(members):  # else a witness would count twice
            raise Malformed
        count = {"any": 1, "all": len(members)}.get(least)
        if count is None:
            count = decimal(least)
        if not 1 <= count <= len(members):
            raise Malformed
        self._members |= set(members)
        return count, tuple(members)

    def _fresh(self, name: str) -> str:
        if name == "none" or self._is_known(name):
            raise Malformed
        return name

    def _is_known(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups


def read_trust(text: str, found: Findings) -> Trust:
    """Read a trust file; a line that cannot be read is a finding, and the rest is used."""
    trust, number = Trust(), 0
    for number, line in enumerate(text.split("\n"), 1):
        try:
            trust.take(line.rstrip("\r"))
        except Malformed:  # noqa: PERF203 -- a finding for each line
            found.add("trust.malformed", number)
    if trust.witnesses and not trust.has_quorum:
        found.add("trust.malformed", number)
    if not trust.logs:
        found.add("trust.no_log", "")
    return trust


def _not_in(key: Key, keys: Iterable[Key]) -> Key:
    if any(key.public == other.public for other in keys):
        raise Malformed
    return key
