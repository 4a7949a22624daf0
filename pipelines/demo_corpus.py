"""Make the corpus of `millrace demo`: real web pages on any machine that can pip install.

The source distributions of SQLAlchemy hold the project's documentation as built HTML. One of each of its two
release lines is fetched with pip, unpacked, and crawled over HTTP into a WARC. The pages are prose and code
by many hands, and most exist in both lines, some changed and some not: near-duplicates nobody planted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from millrace.errors import MillraceError, StorageError
from millrace.storage import read_bytes, write_bytes, writing
from pipelines.crawl import TYPES, crawl

RECIPE = 1  # raise it when the same source distribution gives another WARC


class DemoError(MillraceError):
    """The demo corpus cannot be had: no pip, no network, or not the files we know."""


@dataclass(frozen=True)
class Release:
    """A source distribution of SQLAlchemy that holds built documentation."""

    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"sqlalchemy-{self.version}"

    @property
    def archive(self) -> str:
        return f"{self.name}.tar.gz"

    @property
    def warc(self) -> str:
        return f"{self.name}-{self.sha256[:12]}-r{RECIPE}.warc.gz"


RELEASES = (
    Release("1.4.54", "4470fbed088c35dc20b78a39aaf4ae54fe81790c783b3264872a0224f437c31a"),
    Release("2.0.36", "7f2767680b6d2398aea7082e45a774b2b0767b5c8d8ffb9c8b683088ea9b29c5"),
)

# pip asks a package's build backend for its metadata even when it only downloads. This one stands in for
# setuptools and answers from the file PKG-INFO, so nothing is built and no code of the package is run.
BACKEND = """\
import email, pathlib, sys

__legacy__ = sys.modules[__name__]  # the name pip calls where there is no pyproject.toml

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    text = pathlib.Path("PKG-INFO").read_bytes()
    about = email.message_from_bytes(text)
    folder = pathlib.Path(metadata_directory, f"{about['Name']}-{about['Version']}.dist-info")
    folder.mkdir()
    folder.joinpath("METADATA").write_bytes(text)
    return folder.name
"""


def default_cache() -> Path:
    """Return the folder of MILLRACE_CACHE, or ~/.cache/millrace."""
    return Path(os.environ.get("MILLRACE_CACHE") or "~/.cache/millrace").expanduser()


def demo_warcs(
    cache: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    releases: Sequence[Release] = RELEASES,
) -> list[Path]:
    """Return one WARC of documentation pages per release, making those the cache does not hold.

    Making costs an 18 MB download, once, and a few seconds. Raises DemoError or StorageError.
    """
    cache = default_cache() if cache is None else cache
    return [_warc(release, cache, say) for release in releases]


def _warc(release: Release, cache: Path, say: Callable[[str], None]) -> Path:
    warc = cache / release.warc
    if warc.exists():
        return warc
    archive = fetch(release, cache, say)
    with tempfile.TemporaryDirectory(prefix="millrace-demo-") as folder:
        site = Path(folder)
        unpack(archive, release, site)
        say(f"crawling {release.name}")
        with writing(str(warc)) as stream:
            tally = crawl(site, f"{release.name}.localhost", stream)
        on_disk = sum(1 for _ in site.rglob("*.html"))
    size = warc.stat().st_size / 1e6
    counts = f"{tally.pages} pages ({on_disk} HTML files), dead links: {tally.missing}"
    say(f"crawled {release.name}: {counts}; {size:.1f} MB")
    return warc


def fetch(release: Release, cache: Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """Return a release's archive from the cache, or get it from the index that pip is set up to use.

    Raises DemoError where pip fails and where the file is not the one we know.
    """
    archive = cache / release.archive
    if archive.exists():
        _check(release, read_bytes(str(archive)), f"{archive}; delete it and run again")
        return archive
    say(f"fetching {release.archive} with pip")
    content = _download(release, archive)
    _check(release, content, "what pip fetched")
    write_bytes(str(archive), content)
    return archive


def _check(release: Release, content: bytes, where: str) -> None:
    given = hashlib.sha256(content).hexdigest()
    if given != release.sha256:
        raise DemoError(f"{release.archive} has sha256 {given}, expected {release.sha256}: {where}")


def _download(release: Release, archive: Path) -> bytes:
    if importlib.util.find_spec("pip") is None:
        raise DemoError(f"the demo corpus is fetched with pip, and {sys.executable} has none; install pip")
    options = "--quiet --no-input --no-deps --no-binary sqlalchemy --use-pep517 --no-build-isolation --dest ."
    command = [sys.executable, "-m", "pip", "download", *options.split(), f"sqlalchemy=={release.version}"]
    with tempfile.TemporaryDirectory(prefix="millrace-demo-") as folder:
        backend = Path(folder, "backend")
        write_bytes(str(backend / "setuptools" / "__init__.py"), b"")
        write_bytes(str(backend / "setuptools" / "build_meta.py"), BACKEND.encode())
        search = [str(backend), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(search)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        fetched = list(Path(folder).glob("*.tar.gz"))
        if done.returncode != 0 or len(fetched) != 1:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
            reason = errors[-1].removeprefix("ERROR: ") if errors else f"exit status {done.returncode}"
            raise DemoError(f"pip cannot fetch {release.archive}: {reason}; without a network, put it at {archive}")
        return fetched[0].read_bytes()


def unpack(archive: Path, release: Release, folder: Path) -> None:
    """Write the built documentation in an archive into a folder, with the times it was built at.

    Only regular files of the types a site has are written; raises DemoError for a path that climbs out.
    """
    root, sources = PurePosixPath(release.name, "doc"), PurePosixPath(release.name, "doc", "build")
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            wanted = root in path.parents and sources not in path.parents and path.suffix in TYPES
            if not (wanted and member.isreg()):
                continue
            if ".." in path.parts:
                raise DemoError(f"{archive} is unsafe: it holds {member.name}")
            stream = tar.extractfile(member)
            assert stream is not None  # it is a regular file
            file = folder / path.relative_to(root)
            write_bytes(str(file), stream.read())
            os.utime(file, (member.mtime, member.mtime))
    if not (folder / "index.html").exists():
        raise StorageError(f"{archive} holds no {root}/index.html")
