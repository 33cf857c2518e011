"""Whom one trusts: a log's key, witnesses, and how many of them have to agree (C2SP tlog-policy).

A trust file is a policy with two lines of our own: ``receipt <vkey>`` names who signs receipts, and ``kept
<size> <root>`` is a checkpoint from paper. Read strictly: what is not understood is not trusted. Nothing here
is shared with the modules that write the log (import-linter holds that).
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub.errors import Refused
from hub.ledger.evidence import Promise, Unsound
from hub.ledger.notes import KINDS, LOG, WITNESS, VerifierKey, cosigned_at, read_checkpoint, read_key

LARGEST = 1_000_000
"""Bytes of the longest policy that is read."""

NONE = "none"
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_HASH_BYTES = 32
_REMEDY = "correct the line; the format is https://c2sp.org/tlog-policy, an example in docs/witnessing.md"


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses or groups of which at least ``least`` must have cosigned."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """What is trusted. ``quorum`` names a witness or a group, or is None where no cosignature is asked for.

    ``urls`` are those of logs (by their key's text) and witnesses (by their name here) that have one.
    """

    logs: tuple[VerifierKey, ...] = ()
    witnesses: Mapping[str, VerifierKey] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    receipts: tuple[VerifierKey, ...] = ()
    kept: tuple[Promise, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)

    def reached(self, cosigned: Mapping[str, int] | frozenset[str]) -> bool:
        """Tell whether these witnesses, by their names here, are enough."""
        return self.quorum is None or self._witnesses(self.quorum, frozenset(cosigned))

    def _witnesses(self, name: str, cosigned: frozenset[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self._witnesses(member, cosigned) for member in group.members) >= group.least


@dataclass(frozen=True, slots=True)
class Weighed:
    """A checkpoint by a policy: the log, its promise, who cosigned when (seconds since 1970), if enough."""

    log: VerifierKey
    promise: Promise
    cosigned: Mapping[str, int]
    reached: bool


def weigh(policy: Policy, note: str) -> Weighed:
    """Hold a checkpoint against a policy: signed by one of its logs, and by how many of its witnesses.

    Raises:
        Unsound: ``malformed``; ``signature`` when no listed log signed it, or when one that says to be of a
            listed key does not verify.
    """
    origin = note.partition("\n")[0]
    log = next((key for key in policy.logs if key.name == origin), None)
    if log is None:
        raise Unsound(flaw="signature")
    promise = read_checkpoint(note, log)
    found = {name: cosigned_at(note, key) for name, key in policy.witnesses.items()}
    cosigned = {name: seconds for name, seconds in found.items() if seconds is not None}
    return Weighed(log, promise, cosigned, policy.reached(cosigned))


def read_policy(content: bytes) -> Policy:
    """Read a policy as C2SP has it. Raises `Refused` ``policy.malformed``, naming the line."""
    return _Reader(trust=False).read(content)


def read_trust(content: bytes) -> Policy:
    """Read a trust file: a policy that may name receipt keys and kept checkpoints. Raises as the former."""
    return _Reader(trust=True).read(content)


def load_policy(file: Path) -> Policy:
    """Read a policy from a file; raises as `read_policy`, and `Refused` ``policy.unreadable``."""
    try:
        with file.open("rb") as source:
            content = source.read(LARGEST + 1)
    except OSError as error:
        message = f"expected a policy in {file}, found {type(error).__name__}"
        remedy = "name a file that holds a policy and that this user may read"
        raise Refused("policy.unreadable", message, remedy) from None
    return read_policy(content)


class _Reader:
    """Reads line by line; a name must stand before what refers to it."""

    def __init__(self, *, trust: bool) -> None:
        self._kinds: dict[str, Callable[[list[str]], str | None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum_line,
        }
        if trust:
            self._kinds |= {"receipt": self._receipt, "kept": self._keep}
        self._logs: list[VerifierKey] = []
        self._witnesses: dict[str, VerifierKey] = {}
        self._groups: dict[str, Group] = {}
        self._grouped: set[str] = set()
        self._quorums: list[str] = []
        self._receipts: list[VerifierKey] = []
        self._kept: list[Promise] = []
        self._urls: dict[str, str] = {}

    def read(self, content: bytes) -> Policy:
        if len(content) > LARGEST:
            raise _malformed(0, f"at most {LARGEST} bytes")
        for number, line in enumerate(content.split(b"\n"), 1):
            if _FORBIDDEN.search(line):
                raise _malformed(number, "no control characters but tab and newline (no Windows line ends)")
            words = re.split(r"[ \t]+", line.decode("utf-8", "surrogateescape").strip(" \t"))
            if words[0].startswith("#") or words == [""]:
                continue
            take = self._kinds.get(words[0])
            lacking = f"one of {', '.join(self._kinds)}" if take is None else take(words[1:])
            if lacking:
                raise _malformed(number, lacking)
        if not self._quorums:
            raise _malformed(0, "a quorum line")
        quorum = None if self._quorums == [NONE] else self._quorums[0]
        return Policy(
            tuple(self._logs),
            self._witnesses,
            self._groups,
            quorum,
            tuple(self._receipts),
            tuple(self._kept),
            self._urls,
        )

    def _log(self, words: list[str]) -> str | None:
        key = _key(words[0], LOG) if len(words) in {1, 2} else None
        if key is None:
            return f"log <vkey> [<url>], with a key of kind {KINDS[LOG]}"
        if any(known.raw == key.raw for known in self._logs):
            return "every log's key once"
        self._logs.append(key)
        self._urls |= dict.fromkeys([key.text], words[1]) if words[1:] else {}
        return None

    def _witness(self, words: list[str]) -> str | None:
        key = _key(words[1], WITNESS) if len(words) in {2, 3} else None
        if key is None:
            return f"witness <name> <vkey> [<url>], with a key of kind {KINDS[WITNESS]}"
        if any(known.raw == key.raw for known in self._witnesses.values()):
            return "every witness's key once"
        if not self._is_new(words[0]):
            return "a name of its own for every witness and group, none of them 'none'"
        self._witnesses[words[0]] = key
        self._urls |= dict.fromkeys([words[0]], words[2]) if words[2:] else {}
        return None

    def _group(self, words: list[str]) -> str | None:
        name, least, members = words[0] if words else "", words[1] if words[1:] else "", tuple(words[2:])
        if not members:
            return "group <name> <k|any|all> <member>..., with one member at least"
        if not self._is_new(name):
            return "a name of its own for every witness and group, none of them 'none'"
        if not all(self._is_defined(member) for member in members):
            return "members that are defined on lines above"
        if len(set(members)) < len(members) or self._grouped & set(members):
            return "every witness and group as a member at most once"
        numbered = int(least) if _COUNT.fullmatch(least) else 0
        count = {"any": 1, "all": len(members)}.get(least, numbered)
        if not 1 <= count <= len(members):
            return f"any, all, or a number from 1 to {len(members)}"
        self._groups[name] = Group(count, members)
        self._grouped |= set(members)
        return None

    def _quorum_line(self, words: list[str]) -> str | None:
        if self._quorums:
            return "one quorum line only"
        if len(words) != 1 or not (words[0] == NONE or self._is_defined(words[0])):
            return "quorum <name>, of a witness or group defined above, or none"
        self._quorums.append(words[0])
        return None

    def _receipt(self, words: list[str]) -> str | None:
        key = _key(words[0], LOG) if len(words) == 1 else None
        if key is None:
            return f"receipt <vkey>, with a key of kind {KINDS[LOG]}"
        self._receipts.append(key)
        return None

    def _keep(self, words: list[str]) -> str | None:
        root = _hash(words[1]) if len(words) == 2 and _SIZE.fullmatch(words[0]) else b""  # noqa: PLR2004
        if len(root) != _HASH_BYTES:
            return "kept <size> <root>, the root in base64 as in a checkpoint"
        self._kept.append(Promise(int(words[0]), root))
        return None

    def _is_defined(self, name: str) -> bool:
        return name in self._witnesses or name in self._groups

    def _is_new(self, name: str) -> bool:
        return name != NONE and not self._is_defined(name)


def _key(text: str, kind: int) -> VerifierKey | None:
    try:
        return read_key(text, kind)
    except Unsound:
        return None


def _hash(text: str) -> bytes:
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _malformed(line: int, expected: str) -> Refused:
    place = f"line {line} of the policy" if line else "the policy"
    return Refused("policy.malformed", f"expected {place} to have {expected}", _REMEDY)
