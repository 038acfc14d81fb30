"""The head of a CSV file to be filled in."""

from __future__ import annotations

import csv
import io

from pusher.datacenter.processing import Mode, Processor


def template(processor: Processor, mode: Mode) -> str:
    """The names of the fields that a file for this mode may have, as one line of CSV."""
    line = io.StringIO()
    names = [field.name for field in processor.fields(mode) if not field.spare]
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue()
