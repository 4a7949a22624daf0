import base64
import hashlib
import io
import os
import shutil
import tarfile
import zlib
from pathlib import Path

import pytest

from millrace.errors import MillraceError, StorageError
from pipelines.crawl import Tally, crawl
from pipelines.demo_corpus import DemoError, Release, default_cache, demo_warcs, fetch, unpack

HOST = "site.localhost"
PAGES = {
    "index.html": """<a href="a.html">A</a> <a href="a.html#part">again</a> <a href="gone.html">dead</a>
        <img src="picture.png"> <a href="http://other.example/">elsewhere</a> <a href="mailto:x@y.org">m</a>
        <a href="folder">folder</a> <a href="notes.txt">notes</a> <a href="http://[">bad</a> <a>none</a>""",
    "a.html": '<a href="index.html">back</a> <a href="b%20c.html">B</a> <a href="b c.html?q=é">B</a>',
    "b c.html": "",
    "folder/index.html": '<a href="../a.html">A</a> <p>naïve</p>',
    "orphan.html": "<p>nobody links here</p>",
    "notes.txt": "text",
    "picture.png": "not asked for",
}


def make_site(folder: Path) -> Path:
    for place, (name, content) in enumerate(PAGES.items()):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        os.utime(file, (1_700_000_000 + place, 1_700_000_000 + place))
    return folder


def crawl_bytes(site: Path, max_requests: int = 100) -> tuple[bytes, Tally]:
    stream = io.BytesIO()
    tally = crawl(site, HOST, stream, max_requests)
    return stream.getvalue(), tally


def read_members(archive: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Read a WARC with nothing but zlib: the headers and the block of each gzip member."""
    members = []
    while archive:
        inflate = zlib.decompressobj(wbits=31)
        head, _, block = inflate.decompress(archive).partition(b"\r\n\r\n")
        version, *lines = head.decode().split("\r\n")
        assert version == "WARC/1.1"
        assert block.endswith(b"\r\n\r\n")
        members.append((dict(line.split(": ", 1) for line in lines), block[:-4]))
        archive = inflate.unused_data
    return members


def test_crawl_follows_the_links_of_the_site_and_no_others(tmp_path: Path) -> None:
    archive, tally = crawl_bytes(make_site(tmp_path))
    asked = [h["WARC-Target-URI"] for h, _ in read_members(archive) if h["WARC-Type"] == "request"]
    paths = ["index.html", "a.html", "gone.html", "folder", "notes.txt", "b%20c.html", "b%20c.html?q=%C3%A9"]
    assert asked == [f"http://{HOST}/{path}" for path in [*paths, "folder/"]]  # breadth first
    assert tally == Tally(pages=5, files=1, redirects=1, missing=1, left=0)


def test_every_record_is_a_gzip_member_with_true_lengths_and_digests(tmp_path: Path) -> None:
    members = read_members(crawl_bytes(make_site(tmp_path))[0])
    assert [h["WARC-Type"] for h, _ in members] == ["warcinfo", *["request", "response"] * 8]
    assert len({h["WARC-Record-ID"] for h, _ in members}) == len(members)
    for headers, block in members:
        assert int(headers["Content-Length"]) == len(block)
        parts = {"WARC-Block-Digest": block, "WARC-Payload-Digest": block.partition(b"\r\n\r\n")[2]}
        for name in parts if headers["WARC-Type"] == "response" else ["WARC-Block-Digest"]:
            digest = base64.b32encode(hashlib.sha1(parts[name]).digest()).decode()
            assert headers[name] == f"sha1:{digest}"


def test_fastwarc_reads_the_pages_as_they_lie_on_disk(tmp_path: Path) -> None:
    from fastwarc import ArchiveIterator, WarcRecordType

    site = make_site(tmp_path)
    found = {}
    stream = io.BytesIO(crawl_bytes(site)[0])
    for record in ArchiveIterator(stream, record_types=WarcRecordType.response, verify_digests=True):
        path = record.headers["WARC-Target-URI"].removeprefix(f"http://{HOST}/")
        found[path] = (record.http_headers.status_code, record.http_content_type, record.reader.read())
        assert record.record_date.timestamp() == record.http_date.timestamp() == 1_700_000_006  # the newest file
        assert record.http_headers["Server"] == "millrace-demo"  # no version of Python
    html = "text/html"
    assert found["index.html"] == (200, html, (site / "index.html").read_bytes())
    assert found["folder/"] == (200, html, (site / "folder/index.html").read_bytes())
    assert found["b%20c.html"] == (200, html, b"")
    assert found["notes.txt"] == (200, "text/plain", b"text")
    assert found["folder"][0] == 301
    assert found["gone.html"][0] == 404


def test_two_crawls_of_one_site_are_the_same_bytes(tmp_path: Path) -> None:
    first = make_site(tmp_path / "first")
    second = tmp_path / "elsewhere" / "second"
    shutil.copytree(first, second)
    assert crawl_bytes(first) == crawl_bytes(second)


def test_max_requests_ends_the_crawl_and_counts_what_is_left(tmp_path: Path) -> None:
    archive, tally = crawl_bytes(make_site(tmp_path), max_requests=3)
    assert tally == Tally(pages=2, missing=1, left=4)
    assert len(read_members(archive)) == 1 + 2 * 3


def test_a_folder_without_an_index_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "secret.html").write_text("")
    (tmp_path / "index.html").write_text('<a href="bare/">b</a>')
    assert crawl_bytes(tmp_path)[1] == Tally(pages=1, missing=1)


def make_sdist(folder: Path, members: dict[str, str], links: dict[str, str] | None = None) -> tuple[Path, Release]:
    """Write sqlalchemy-9.9.tar.gz and return it with the release that describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "sqlalchemy-9.9.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content.encode()), 1_700_000_000
            tar.addfile(info, io.BytesIO(content.encode()))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return archive, Release("9.9", hashlib.sha256(archive.read_bytes()).hexdigest())


DOCS = {f"sqlalchemy-9.9/doc/{name}": content for name, content in PAGES.items()}


def test_unpack_writes_the_built_pages_and_nothing_else(tmp_path: Path) -> None:
    others = [
        "other/doc/x.html",
        "sqlalchemy-9.9/y.html",
        "sqlalchemy-9.9/doc/build/z.html",
        "sqlalchemy-9.9/doc/q.py",
    ]
    members = DOCS | dict.fromkeys(others, "")
    archive, release = make_sdist(tmp_path, members, {"sqlalchemy-9.9/doc/link.html": "/etc/passwd"})
    site = tmp_path / "site"
    unpack(archive, release, site)
    files = {str(p.relative_to(site)): p.read_text("utf-8") for p in site.rglob("*") if not p.is_dir()}
    assert files == PAGES
    assert (site / "index.html").stat().st_mtime == 1_700_000_000


def test_unpack_refuses_a_path_that_climbs_out(tmp_path: Path) -> None:
    archive, release = make_sdist(tmp_path, {"sqlalchemy-9.9/doc/../../../evil.html": "x"} | DOCS)
    with pytest.raises(DemoError, match="unsafe"):
        unpack(archive, release, tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.rglob("evil.html"))


def test_unpack_says_when_there_is_no_documentation(tmp_path: Path) -> None:
    archive, release = make_sdist(tmp_path, {"sqlalchemy-9.9/doc/other.html": ""})
    with pytest.raises(StorageError, match=r"no sqlalchemy-9\.9/doc/index\.html"):
        unpack(archive, release, tmp_path)


def test_demo_warcs_makes_a_warc_once_and_returns_it_ever_after(tmp_path: Path) -> None:
    _, release = make_sdist(tmp_path, DOCS)
    said: list[str] = []
    [warc] = demo_warcs(tmp_path, said.append, [release])
    assert warc.name == f"sqlalchemy-9.9-{release.sha256[:12]}-r1.warc.gz"
    assert said == [
        "crawling sqlalchemy-9.9",
        "crawled sqlalchemy-9.9: 5 pages (5 HTML files), dead links: 1; 0.0 MB",
    ]
    made = warc.stat().st_mtime_ns
    assert demo_warcs(tmp_path, said.append, [release]) == [warc]
    assert (warc.stat().st_mtime_ns, len(said)) == (made, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([warc.name, release.archive])


def test_an_archive_with_another_digest_is_refused_in_one_line(tmp_path: Path) -> None:
    make_sdist(tmp_path, DOCS)
    with pytest.raises(MillraceError, match=r"has sha256 .* expected 0000.*delete it") as caught:
        demo_warcs(tmp_path, releases=[Release("9.9", "0" * 64)])
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder that is all pip knows: no index, no network."""
    pytest.importorskip("pip")
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return folder


def test_fetch_runs_no_code_of_the_package(wheelhouse: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    members = {
        "sqlalchemy-9.9/setup.py": f"open({str(trap)!r}, 'w')",
        "sqlalchemy-9.9/PKG-INFO": "Metadata-Version: 2.1\nName: SQLAlchemy\nVersion: 9.9\n",
    }
    source, release = make_sdist(wheelhouse, members)
    archive = fetch(release, tmp_path / "cache")
    assert archive == tmp_path / "cache" / "sqlalchemy-9.9.tar.gz"
    assert archive.read_bytes() == source.read_bytes()
    assert not trap.exists()


def test_fetch_says_in_one_line_that_pip_found_nothing(wheelhouse: Path, tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"No matching distribution found for sqlalchemy==9\.9; without") as caught:
        fetch(Release("9.9", "0" * 64), tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_fetch_says_when_there_is_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DemoError, match="install pip"):
        fetch(Release("9.9", "0" * 64), tmp_path)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_CACHE", "/somewhere")
    assert default_cache() == Path("/somewhere")
    monkeypatch.delenv("MILLRACE_CACHE")
    assert default_cache() == Path.home() / ".cache" / "millrace"
