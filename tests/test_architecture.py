"""The shape of the repository: which way imports run, and the two doors."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("millrace", "curator", "pretrain", "align", "serve", "pipelines")
MAY_IMPORT = {
    "millrace": set(),
    "curator": {"millrace"},
    "pretrain": {"millrace"},
    "align": {"pretrain", "millrace"},
    "serve": {"align", "pretrain", "millrace"},
    "pipelines": {"curator", "pretrain", "align", "serve", "millrace"},
}
# Inside curator: the way of the data. A step may import what stands below it, never what comes later.
STEPS = ("read", "extract", "clean", "identify", "filter", "dedup", "tokenize")
RAPIDS = {"cudf", "cupy", "cuml", "cugraph", "dask_cudf", "dask_cuda", "rmm", "pylibcudf"}
LAZY = {
    "pandas",
    "distributed",
    "dask",
    "numba",
    "trafilatura",
    "tokenizers",
    "fasttext",
    "ftfy",
    "torch",
    "megatron",
    "psutil",
    "tensorboard",
    "wandb",
    "onnxruntime",
    "presidio_analyzer",
    "spacy",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "kenlm",
    "sentencepiece",
    "starlette",
    "uvicorn",
    "httpx",
    "prometheus_client",
    "modelopt",
    "gguf",
    "nemoguardrails",
}


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of all modules a file imports, those named in importlib.import_module calls included."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package):
    forbidden = set(PACKAGES) - MAY_IMPORT[package] - {package}
    for path in modules(package):
        assert not {name.partition(".")[0] for name in imported(path)} & forbidden, path


def test_every_package_is_listed():
    assert {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"} == set(PACKAGES)


@pytest.mark.parametrize("step", STEPS)
def test_steps_of_the_curator_do_not_import_each_other(step):
    others = {f"curator.{other}" for other in STEPS if other != step}
    for path in modules(f"curator/{step}"):
        crossing = {name for name in imported(path) for other in others if (name + ".").startswith(other + ".")}
        assert not crossing, (path, crossing)


def test_the_core_of_the_curator_knows_no_single_step():
    core = [*(ROOT / "curator").glob("*.py"), *modules("curator/run", "curator/kernels")]
    for path in core:
        if path.name == "__init__.py" and path.parent.name == "curator":
            continue  # the public names
        crossing = {name for name in imported(path) for step in STEPS if (name + ".").startswith(f"curator.{step}.")}
        assert not crossing, (path, crossing)


def test_kernels_do_not_import_the_runner():
    for path in modules("curator/kernels"):
        assert not {name for name in imported(path) if name.startswith(("curator.run", "curator.cluster"))}, path


def test_rapids_has_one_door():
    for path in modules(*PACKAGES):
        door = path.name.startswith("gpu") and path.parent.name == "kernels"
        if not door and path != ROOT / "curator/cluster.py":
            assert not {name.partition(".")[0] for name in imported(path)} & RAPIDS, path


def test_megatron_has_one_door():
    for path in modules(*PACKAGES):
        names = {name for name in imported(path) if name.startswith("megatron")}
        assert not {name for name in names if name.startswith("megatron.training")}, path
        assert not names or (ROOT / "pretrain/mcore") in path.parents, path


def test_only_the_storage_door_opens_files_for_writing():
    door = {ROOT / "millrace/storage.py"}
    for path in set(modules("curator", "pipelines", "millrace", "pretrain")) - door:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                opens = (
                    called.endswith("open")
                    and called != "os.fdopen"
                    and set(modes) & {"w", "wb", "a", "ab", "x", "xb", "w+", "a+"}
                )
                writes = called.endswith((".write_text", ".write_bytes")) and not called.startswith("storage.")
                assert not opens, (path, node.lineno)
                assert not writes, (path, node.lineno)


@pytest.mark.parametrize(
    "module",
    ["curator", "curator.stage", "millrace.storage", "pipelines.cli", "pretrain.config", "pretrain.run.watch",
     "pretrain.run.peak", "pretrain.report"],
)  # fmt: skip
def test_heavy_libraries_are_not_imported_before_they_are_needed(module):
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}} & {LAZY!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.split() == []


def test_modules_hold_one_idea():
    for path in modules(*PACKAGES, "benchmarks"):
        assert len(path.read_text().splitlines()) <= 400, f"{path} has more than 400 lines: split it at the idea"
