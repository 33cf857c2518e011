"""Why a whole file is not taken: one code, what was found, and what its sender can do about it."""

from typing import Final

from hub.errors import Refused

_REMEDIES: Final = {
    "file.empty": "Check the export and send the file again; if there is nothing to report, send no file.",
    "file.no_rows": "Check the export's filter; if there is nothing to report, send no file.",
    "file.too_large": "Split the list into several files and send each as a submission of its own.",
    "file.too_many_rows": "Split the list into several files and send each as a submission of its own.",
    "file.format": "Save the list as CSV (UTF-8) or as an Excel workbook (.xlsx) without macros or password.",
    "file.archive": "Open the workbook in a spreadsheet program, save it anew as .xlsx and send that file.",
    "file.encoding": "Export the file as CSV in UTF-8 and do not mix text of different encodings in it.",
    "file.delimiter": "Export the file with the delimiter that the agreement names.",
    "file.header": "Make the first line carry exactly the agreed column names, each once, in any order.",
    "file.truncated": "The file ends in the middle of a row: export and upload it again as a whole.",
    "file.quotes": "Close every quotation mark and double those inside a quoted cell, or export it anew.",
}


def refused(code: str, message: str) -> Refused:
    """The refusal of a whole file, with the remedy that belongs to its code."""
    return Refused(code, message, _REMEDIES[code])
