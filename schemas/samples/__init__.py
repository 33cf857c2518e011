"""Synthetic files for agreements: realistic, seeded, of any size, with typical errors and their outcome."""

from schemas.samples.broken import BrokenFile, broken_files
from schemas.samples.files import FileForm, csv_bytes, write_consents, write_sample
from schemas.samples.sample import Sample, recipe_names, sample

__all__ = [
    "BrokenFile",
    "FileForm",
    "Sample",
    "broken_files",
    "csv_bytes",
    "recipe_names",
    "sample",
    "write_consents",
    "write_sample",
]
