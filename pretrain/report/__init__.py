"""The report of a training run: one HTML file with its curves, events and settings."""

from millrace import storage
from pretrain.report.gather import gather
from pretrain.report.page import page

__all__ = ["write_report"]


def write_report(folder_url: str) -> str:
    """Write `report.html` into a run folder, finished or not, and return its URL.

    The same files give the same bytes. Raises TrainingError where the folder holds no training run, or a damaged log.
    """
    url = storage.join(folder_url, "report.html")
    storage.write_bytes(url, page(gather(folder_url)).encode())
    return url
