"""Names of files: which of them say "not finished yet", which are refused, how they are shown again."""

import re
import unicodedata
from fnmatch import fnmatch
from typing import Final

from hub.errors import Refused

LONGEST: Final = 255  # bytes, as on every file system that senders have
_LONGEST_STEM: Final = 80
_UNSEEN: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories of signs that are not seen

IN_PROGRESS: Final = {
    "*.part": "browsers, curl recipes, many scripts",
    "*.filepart": "WinSCP, from 100 KiB on",
    "*.partial": "rclone (with random letters before it)",
    "*.tmp": "Office programs and scripts",
    "*.temp": "scripts",
    "*.crdownload": "Chromium's downloads, copied on too early",
    "*.download": "Safari's downloads, copied on too early",
    "*.incomplete": "transfer programs",
    "*.uploading": "transfer programs and scripts",
    "*.swp": "vi's working copy",
    "~$*": "the lock that Office lays beside an open document",
    ".*": "hidden: lftp's .in.NAME., rsync's .NAME.Xy12Za, LibreOffice's .~lock.NAME#",
    "*~": "the copy that editors leave",
}
"""Names of files that are still being written, and who writes them; letter case plays no role.

A file of such a name never becomes a submission; renamed into any other name it arrives.
"""


def in_progress(name: str) -> bool:
    """Tell whether a name says that its file is not finished."""
    low = name.lower()
    return any(fnmatch(low, pattern) for pattern in IN_PROGRESS)


def checked(raw: bytes) -> str:
    """Read a name as a sender gave it, in Unicode's composed form (macOS sends the other one).

    Raises:
        Refused: ``upload.name`` for more than 255 bytes, other encodings than UTF-8, control characters.
    """
    try:
        name: str | None = unicodedata.normalize("NFC", raw.decode())
    except UnicodeDecodeError:
        name = None
    fault = "another encoding than UTF-8" if name is None else _fault(name, raw)
    if name is None or fault:
        raise Refused("upload.name", f"expected a plain file name, found {fault}", "rename the file")
    return name


def _fault(name: str, raw: bytes) -> str | None:
    if max(len(raw), len(name.encode())) > LONGEST:
        return f"more than {LONGEST} bytes"
    if any(unicodedata.category(sign) in _UNSEEN or sign in "/\\" for sign in name):
        return "a control or separating character"
    return None if name.strip(" .") else "dots or blanks only"


def stem(name: str | None) -> str:
    """Shorten a sender's file name to what may begin the names of its replies on any file system."""
    if name is None:
        return ""
    bare = name.rpartition(".")[0] or name
    plain = re.sub(r"[^\w\-+()= ]", "_", bare).strip("_ -")
    return plain[:_LONGEST_STEM].rstrip()
