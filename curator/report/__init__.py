"""The report of a run: one HTML file that shows what was dropped, why, and on what evidence."""

from curator.report.gather import gather
from curator.report.page import page
from curator.run.folder import RunFolder
from millrace import storage

__all__ = ["write_report"]


def write_report(folder_url: str) -> str:
    """Write `report.html` into the folder of a finished run and return its URL.

    The same run gives the same bytes. Raises RunError where there is no finished run, or where its
    work folder, which holds the texts to show, was cleaned.
    """
    folder = RunFolder(folder_url)
    url = folder.path("report.html")
    storage.write_bytes(url, page(gather(folder)).encode())
    return url
