"""What one task, and the main process, may hold while near-duplicates are found."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Memory follows from these and not from the corpus."""

    task_rows: int = 4_000_000  # (document, band) rows that one task deals or joins: some 300 MB
    job_bytes: int = 256_000_000  # evidence that one task decides on; it holds it twice
    main_documents: int = 100_000_000  # numbered in the main process, 9 bytes each; beyond, components on disk
