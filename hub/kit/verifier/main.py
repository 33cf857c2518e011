"""The command line of the verifier: what was brought, the verdict in words or as JSON, the exit status."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path
from typing import Any

from hub.kit.verifier.canonical import NotCanonical, read_canonical
from hub.kit.verifier.checking import Brought, Report, check
from hub.kit.verifier.words import SENTENCES

_MOST_BROUGHT = 1 << 20


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line; ends the program with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="pruefen.py",
        description="Prüft ein Prüfpaket des Übermittlungsprotokolls. / Verifies a kit of the transfer log.",
        epilog="0: alles bewiesen / all proved. 1: Befunde / findings. 2: falscher Aufruf / wrong usage.",
    )
    parser.add_argument("kit", type=Path, help="KIT.zip, oder entpackt als Ordner / or unpacked as a folder")
    parser.add_argument("--trust", type=Path, help="Vertrauensdatei des Prüfers / the auditor's trust file")
    parser.add_argument(
        "--checkpoint", type=Path, action="append", default=[], help="aufbewahrt / kept earlier"
    )
    parser.add_argument("--receipt", type=Path, action="append", default=[], help="Quittung / receipt")
    parser.add_argument("--sample", type=int, default=10, metavar="N", help="Stichprobe / random sample")
    parser.add_argument("--all-signatures", action="store_true", help="alle Unterschriften / every signature")
    parser.add_argument("--json", action="store_true", help="ein JSON-Objekt / one JSON object")
    given = parser.parse_args(words)
    if given.sample < 0:
        parser.error("--sample: 0, 1, 2 …")
    try:
        given.brought = Brought(
            given.trust and given.trust.read_bytes()[:_MOST_BROUGHT].decode("utf-8", "surrogateescape"),
            tuple(path.read_bytes()[:_MOST_BROUGHT] for path in given.checkpoint),
            tuple((path.name, path.read_bytes()[:_MOST_BROUGHT]) for path in given.receipt),
            given.sample,
            given.all_signatures,
        )
        given.kit.stat()
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    return given


def describe(report: Report) -> str:
    """Tell the verdict in words, German and English."""
    told = report.told
    words = SENTENCES["words"]
    verdict = words["proved" if told["ok"] else "not_proved"]
    lines = [
        (
            f"{told['origin']}: {told['first']}-{told['last']} / {told['size']}, "
            f"{told['entries']} Einträge / entries, {told['erased']} gelöscht / erased"
        ),
        f"Wurzel / root {told['root'] or '-'}",
        "",
    ]
    for one in told["findings"]:
        lines += [f"[{one['code']}] {one['de']}", f"{'':{len(one['code']) + 2}} {one['en']}"]
    for one in told["notes"]:
        lines += [f"({one['code']}) {one['de']}", f"{'':{len(one['code']) + 2}} {one['en']}"]
    lines += [_row(name, sums) for name, sums in told["counts"].items()]
    for number, one in enumerate(told["receipts"], 1):
        sentence = words["receipt_in" if one["in"] else "receipt_out"]
        lines += [
            f"{one['file']}: {sentence[tongue].replace('{place}', str(number))}" for tongue in ("de", "en")
        ]
    for one in told["witnesses"]:
        lines.append(f"Zeuge / witness {one['name']}: {one['size'] if one['cosigned'] else '-'}")
    if told["sample"]:
        lines += ["", "Stichprobe / sample:"]
        lines += [_drawn(index, report.bodies.get(index)) for index in told["sample"]]
    return "\n".join([*lines, "", verdict["de"], verdict["en"], ""])


def _row(agreement: str, sums: dict[str, int]) -> str:
    return f"{agreement}: " + ", ".join(f"{name} {count}" for name, count in sums.items())


def _drawn(index: int, body: bytes | None) -> str:
    try:
        fields: dict[str, Any] = read_canonical(body or b"")
    except NotCanonical:
        return f"  {index}: -"
    named = (fields.get(name) for name in ("time", "kind", "agreement", "submission", "reason"))
    return f"  {index}: " + " ".join(str(value) for value in named if value is not None)


def main(words: list[str] | None = None) -> int:
    """Run; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    gc.disable()  # nothing here goes in circles, and a million entries are many objects
    given = arguments(sys.argv[1:] if words is None else words)
    report = check(given.kit, given.brought, _tell if sys.stderr.isatty() else lambda _: None)
    if given.json:
        sys.stdout.write(json.dumps(report.told, ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(describe(report))
    return 0 if report.told["ok"] else 1


def _tell(part: float) -> None:
    sys.stderr.write(f"\r{part:6.1%}" + ("\n" if part >= 1 else ""))
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
