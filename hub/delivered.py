"""What an agreement has delivered before, as keyed MACs of rows, so that nobody receives the same row twice.

Each sent parcel adds one sealed file of 32 bytes a row: the MAC of the row's key and the MAC of its content.
An ``event`` counts as delivered if its content ever was; a row of a ``snapshot`` or of a replaced period if
its content is the latest delivered under its key.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg import Connection
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import staging
from hub.aes_columns import cmac_texts, row_texts
from hub.database.models import DeliveredRows
from hub.office import Office
from schemas.agreement import Agreement

Macs = NDArray[np.uint8]  # shape (n, 32): key MAC, content MAC
SMALL_PARCEL, MOST_KEPT = 1_000, 2_000  # rows and parcels: 64 MB at most


@dataclass(frozen=True)
class Register:
    """The rows delivered up to a position of the register, as a frame that rows are joined against."""

    position: int
    rows: pl.DataFrame  # k0, k1, c0, c1: the two MACs as 64-bit words; c* of the latest per key


def row_macs(office: Office, agreement: Agreement, keys: pl.DataFrame, contents: pl.DataFrame) -> Macs:
    """Compute the MACs of rows: of their key columns and of what would be released of them; (n, 32)."""
    key = office.ring.row_key(agreement.id)
    return np.hstack([cmac_texts(key, row_texts(keys)), cmac_texts(key, row_texts(contents))])


def words(macs: Macs) -> pl.DataFrame:
    """Lay MACs out as four columns of 64-bit words."""
    columns = np.ascontiguousarray(macs).view("<u8").reshape(-1, 4)
    return pl.DataFrame({name: columns[:, at] for at, name in enumerate(("k0", "k1", "c0", "c1"))})


def position(session: Session, agreement: str) -> int:
    """Tell how far the register of an agreement has got."""
    newest = select(func.coalesce(func.max(DeliveredRows.position), 0))
    return session.scalars(newest.where(DeliveredRows.agreement == agreement)).one()


def load(office: Office, agreement: Agreement) -> Register:
    """Read the register of an agreement."""
    with office.database.transaction() as session:
        newest = position(session, agreement.id)
        frame = words(_macs(office, session, agreement, 0, newest))
    return Register(newest, frame.unique(_compared(agreement), keep="last", maintain_order=True))


def overtaken(office: Office, session: Session, agreement: Agreement, since: int, rows: pl.DataFrame) -> bool:
    """Tell whether what was delivered after a position bears on these rows (k0, k1, c0, c1): decide anew.

    Deliveries of other rows do not; of an event only the same content does, of a snapshot the same key.
    """
    others = words(_macs(office, session, agreement, since, position(session, agreement.id)))
    return not rows.join(others, on=_compared(agreement), how="semi").is_empty()


def _compared(agreement: Agreement) -> list[str]:
    return ["k0", "k1", "c0", "c1"] if agreement.delivery.mode == "event" else ["k0", "k1"]


def _macs(office: Office, session: Session, agreement: Agreement, after: int, up_to: int) -> Macs:
    rows = session.scalars(
        select(DeliveredRows)
        .where(
            DeliveredRows.agreement == agreement.id,
            DeliveredRows.position > after,
            DeliveredRows.position <= up_to,
        )
        .order_by(DeliveredRows.position)
    ).all()
    macs = np.empty((sum(row.rows for row in rows), 32), dtype=np.uint8)
    filled = 0
    for row in rows:
        macs[filled : filled + row.rows] = _of_parcel(office, row)
        filled += row.rows
    return macs


def _of_parcel(office: Office, row: DeliveredRows) -> Macs:
    """Open the MACs of one parcel; small ones are kept, for each submission of a lot asks for them."""
    kept = office.small_registers.get(row.parcel)
    if kept is not None:
        return kept
    key = office.ring.unwrap(row.wrapped_key, f"delivered/{row.parcel}")
    data = staging.read_bytes(file_of(office, row.parcel, row.wrapped_key), key)
    macs = np.frombuffer(data, dtype=np.uint8).reshape(-1, 32)
    if row.rows <= SMALL_PARCEL and len(office.small_registers) < MOST_KEPT:
        office.small_registers[row.parcel] = macs
    return macs


def known(register: Register, macs: Macs) -> NDArray[np.bool_]:
    """Tell which rows have been delivered already; shape (n,)."""
    by = ["k0", "k1", "c0", "c1"]
    asked = words(macs).with_row_index("n")
    hits = asked.join(register.rows, on=by, how="semi")["n"].to_numpy()
    mask = np.zeros(len(macs), dtype=np.bool_)
    mask[hits] = True
    return mask


def lock(connection: Connection, agreement: str) -> None:
    """Be the only delivery of this agreement until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"delivered/{agreement}"])


def write(office: Office, parcel: str, macs: Macs) -> bytes:
    """Seal the MACs of a parcel's rows (before it is sent) and give the wrapped key that opens them.

    The file is named after the wrapped key as well, so that a slow orphan can never replace the file that a
    retry has committed.
    """
    key = os.urandom(32)
    wrapped = office.ring.wrap(key, f"delivered/{parcel}")
    staging.make_folder(office.delivered)
    final = file_of(office, parcel, wrapped)
    temp = final.with_suffix(".part")
    staging.write_bytes(temp, key, np.ascontiguousarray(macs).tobytes())
    staging.publish(temp, final)
    return wrapped


def file_of(office: Office, parcel: str, wrapped: bytes) -> Path:
    """Name the sealed file of a parcel's MACs."""
    return office.delivered / f"{parcel}-{hashlib.sha256(wrapped).hexdigest()[:16]}.sealed"
