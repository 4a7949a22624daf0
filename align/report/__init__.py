"""The report of an alignment run: one HTML file with its curves, completions before and after, events and settings."""

from align.report.gather import gather
from align.report.page import page
from millrace import storage

__all__ = ["write_report"]


def write_report(folder_url: str) -> str:
    """Write `report.html` into a run folder, finished or not, and return its URL.

    The same files give the same bytes. Raises TrainingError where the folder holds no alignment run, or a damaged log.
    """
    url = storage.join(folder_url, "report.html")
    storage.write_bytes(url, page(gather(folder_url)).encode())
    return url
