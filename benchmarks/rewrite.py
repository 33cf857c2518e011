"""The floor: Polars reads the CSV file and writes it again. Run as a program: ``rewrite.py FILE OUT``."""

import sys

import polars as pl

if __name__ == "__main__":
    pl.read_csv(sys.argv[1], separator=";", infer_schema=False).write_csv(sys.argv[2], separator=";")
