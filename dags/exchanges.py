"""Every agreement in force becomes a DAG: six tasks, woken by the files that wait.

The list is written by the hub (HUB_HOME/exchanges.json); nothing else is read here, and no database asked.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, TriggerRule, chain, get_parsing_context

from hub_steps import STEPS, Acknowledge, Deliver, Receive, Step
from hub_triggers import WaitingWork

EXPLAINED = """\
### {title}

**{sender} → {recipient}** (Vereinbarung / agreement {agreement})

**Deutsch.** Jeder Lauf nimmt sich, was an Einlieferungen wartet (ein *Los*), und führt es durch sechs
Schritte. *Grün*: der Hub hat seine Arbeit getan, gleich wie er entschieden hat; auch eine zurückgewiesene
oder zurückgestellte Datei ist ein grüner Lauf. *Rot*: der Hub selbst konnte seine Arbeit für mindestens eine
Einlieferung nicht tun; die übrigen des Loses gehen trotzdem weiter. *Rosa* (übersprungen): für diesen Schritt
war nichts zu tun. **Clear** und **Trigger** lassen den Hub noch einmal nachsehen, was fällig ist: Erledigtes
wird übergangen, nichts wird doppelt gesendet. **Mark success/failed** ändert nur die Farbe, keine
Einlieferung; kein Schritt und keine Prüfung lässt sich damit überspringen. Was auf Menschen wartet, ruht im
Hub, nie in einem Lauf; freigegeben wird es dort von zwei Personen, nicht hier.

**English.** Each run claims the submissions that wait (a *lot*) and takes them through six steps. *Green*:
the hub did its work, whatever it decided; a refused or quarantined file is a green run, too. *Red*: the hub
itself could not do its work for at least one submission; the others of the lot go on all the same. *Pink*
(skipped): nothing was due for this step. **Clear** and **Trigger** make the hub look once more at what is
due: what is done is passed over, nothing is sent twice. **Mark success/failed** changes a colour and no
submission; no step and no check can be skipped by it. What waits for people rests in the hub, never in a run;
two people release it there, not here.
"""


def exchanges() -> list[dict[str, Any]]:
    """Read the agreements in force; none before `hub init`."""
    home = Path(os.environ.get("HUB_HOME", ".hub")).expanduser().absolute()
    try:
        return list(json.loads((home / "exchanges.json").read_bytes()))
    except FileNotFoundError:
        return []


def dag_id(agreement: str) -> str:
    """Name the DAG of an agreement."""
    return f"exchange_{agreement.lower()}"


def exchange_dag(agreement: str, title: str, sender: str, recipient: str) -> DAG:
    """Draw sender → exchange → recipient."""
    waiting = Asset(
        name=f"{agreement} from {sender}",
        uri=f"hub://{sender}/{agreement}/submissions",
        group="submission",
        watchers=[AssetWatcher(name=f"{agreement} waits", trigger=WaitingWork(agreement))],
    )
    delivery = Asset(
        name=f"{agreement} to {recipient}", uri=f"hub://{recipient}/{agreement}/parcels", group="delivery"
    )
    with DAG(
        dag_id=dag_id(agreement),
        dag_display_name=f"{agreement} {title}",
        description=f"{sender} → {recipient}: {title}",
        doc_md=EXPLAINED.format(agreement=agreement, title=title, sender=sender, recipient=recipient),
        schedule=[waiting],
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["exchange", f"from:{sender}", f"to:{recipient}"],
    ) as dag:
        # A step goes on with the rest of the lot, whatever became of one of it in the step before.
        rest: dict[str, Any] = {"agreement": agreement, "trigger_rule": TriggerRule.ALL_DONE}
        chain(
            Receive(task_id=STEPS[0], agreement=agreement),
            *(Step(task_id=step, **rest) for step in STEPS[1:4]),
            Deliver(task_id=STEPS[4], delivery=delivery, **rest),
            Acknowledge(task_id=STEPS[5], **rest),
        )
    return dag


# A task reads this file as well, and needs its own DAG only.
_wanted = get_parsing_context().dag_id
for _exchange in exchanges():
    if _wanted in (None, dag_id(_exchange["agreement"])):
        exchange_dag(**_exchange)
