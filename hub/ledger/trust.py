"""What an auditor takes along before there is anything to check: a trust file, and a checkpoint on paper."""

from base64 import b64encode
from datetime import datetime

from hub.ledger.evidence import Promise
from hub.ledger.notes import VerifierKey
from hub.ledger.policy import NONE, Policy

_GROUP = 8  # hexadecimal digits that one can compare at a glance


def trust_text(policy: Policy, log: VerifierKey, receipts: VerifierKey, promise: Promise | None) -> str:
    """Write a trust file: the log's key, its witnesses and quorum, the receipts' key, the newest checkpoint.

    Its lines are C2SP tlog-policy, and ``receipt`` and ``kept`` of our own (`hub.ledger.policy.read_trust`).
    """
    lines = [
        "# Whom I trust about this transfer log. Compare the keys with those you got by another way.",
        f"log {log.text}",
        *(f"witness {name} {key.text}" for name, key in policy.witnesses.items()),
        *(f"group {name} {group.least} {' '.join(group.members)}" for name, group in policy.groups.items()),
        f"quorum {policy.quorum or NONE}",
        f"receipt {receipts.text}",
    ]
    if promise:
        lines.append(kept_line(promise))
    return "".join(f"{line}\n" for line in lines)


def kept_line(promise: Promise) -> str:
    """Write a checkpoint as the line of a trust file."""
    return f"kept {promise.size} {b64encode(promise.root).decode()}"


def paper_text(log: VerifierKey, promise: Promise, cosigned: dict[str, datetime], at: datetime) -> str:
    """Write a checkpoint to be printed and kept: it fits a sheet, and a person can compare it by eye.

    ``at`` and the times of the witnesses (by name) are told as they are given, with their zone.
    """
    digits = promise.root.hex()
    groups = [digits[place : place + _GROUP] for place in range(0, len(digits), _GROUP)]
    witnesses = [f"  {name}, {time:%Y-%m-%d %H:%M:%S %Z}" for name, time in sorted(cosigned.items())]
    return "\n".join(
        [
            "PRÜFPUNKT DES ÜBERMITTLUNGSPROTOKOLLS / CHECKPOINT OF THE TRANSFER LOG",
            "",
            f"Protokoll / log:      {log.name}",
            f"Schlüssel / key id:   {log.key_id.hex()}",
            f"Datum / date:         {at:%Y-%m-%d %H:%M:%S %Z}",
            f"Einträge / entries:   {promise.size}",
            f"Wurzel / root:        {' '.join(groups[:4])}",
            f"                      {' '.join(groups[4:])}",
            "",
            "Bezeugt von / cosigned by:",
            *(witnesses or ["  niemandem / nobody"]),
            "",
            "Zeile für die Vertrauensdatei / line for the trust file:",
            kept_line(promise),
        ]
    )
