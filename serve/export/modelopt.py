"""The door to nvidia-modelopt: it searches scales on text and quantises; the folder that is written is ours."""

from __future__ import annotations

import contextlib
import copy
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from millrace import storage
from pretrain.errors import WeightsError
from pretrain.hf.folder import TensorFolder, write_tensors
from serve.errors import ExportError, ServeSettingsError
from serve.export import casting, modelopt_layout, network
from serve.export.calibrated import Calibrated
from serve.export.modelopt_layout import NAME, VERSION
from serve.export.source import Source
from serve.export.spelling import both_spellings


def require(name: str) -> None:
    """Raise ServeSettingsError where nvidia-modelopt is not installed."""
    if find_spec("modelopt") is None:
        raise ServeSettingsError(
            f"{name} is made by nvidia-modelopt {VERSION}, which is not installed: pip install 'millrace[quantize]'"
        )


def write(target: Calibrated, source: Source, folder: str, recipe: str, group: int | None = None) -> float:
    """Quantise a source by one of modelopt's recipes, write the folder, and return the seconds modelopt took.

    recipe: a configuration's name in modelopt.torch.quantization. group: inputs that share a scale, where it has
    groups. config.json is the source's: modelopt's lacks rope_theta under transformers 5, and readers of before take
    10,000. Memory: the model in its type, more than twice. Raises ExportError where modelopt writes another layout.
    """
    began, kind = time.perf_counter(), target.kept(source)
    casting.require(source, kind)
    with network.room(folder) as aside:
        with network.as_folder(source, folder) as plain:
            told = _quantised(
                plain, aside, recipe, group, target.ids(plain, source), kind, source.config["architectures"]
            )
        seconds = time.perf_counter() - began
        shapes, dtypes = target.layout(source)
        write_tensors(folder, shapes, dtypes, _tensors(aside, shapes, dtypes), target.shard_bytes)
    source.copy_rest(folder)
    modelopt_layout.write_configs(folder, both_spellings(source.config, source.model, kind), told)
    return seconds


def _quantised(
    plain: str, aside: str, recipe: str, group: int | None, ids: list[list[int]], kind: str, architectures: list[str]
) -> dict[str, Any]:
    """Let modelopt quantise a folder into another; return its hf_quant_config.json."""
    import torch

    model = network.opened(plain, kind)
    model.config.architectures = architectures  # without it modelopt fails in the end
    with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):  # where its progress belongs
        import modelopt.torch.quantization as mtq
        from modelopt.torch.export import export_hf_checkpoint

        def run(quantised: Any) -> None:
            for one in ids:
                quantised(torch.tensor([one]), use_cache=False)

        model = mtq.quantize(model, _grouped(copy.deepcopy(getattr(mtq, recipe)), group), run)
        export_hf_checkpoint(model, dtype=getattr(torch, kind), export_dir=aside)
    told: dict[str, Any] = storage.read_json(storage.join(aside, NAME))
    theirs = storage.read_json(storage.join(aside, "config.json"))["quantization_config"]
    if theirs != modelopt_layout.for_config(told):
        raise ExportError(f"modelopt {told['producer']['version']} writes another layout than {VERSION}: {theirs}")
    return told


def _grouped(settings: dict[str, Any], group: int | None) -> dict[str, Any]:
    """Put the size of groups into a recipe's quantiser of weights."""
    for one in settings["quant_cfg"]:
        blocks = (one.get("cfg") or {}).get("block_sizes")
        if group is not None and blocks and one["quantizer_name"] == "*weight_quantizer":
            blocks[-1] = group
    return settings


def _tensors(folder: str, shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Give modelopt's tensors in our order. Raises ExportError where it wrote other names, shapes or types."""
    try:
        theirs = TensorFolder(folder)
    except WeightsError as error:
        raise ExportError(f"modelopt wrote no whole folder: {error}") from None
    for name in sorted(set(theirs.shapes) ^ set(shapes)):
        raise ExportError(f"modelopt {'wrote' if name in theirs.shapes else 'did not write'} {name}: another layout")
    for name, shape in shapes.items():
        if (theirs.shapes[name], theirs.dtypes[name]) != (shape, dtypes[name]):
            raise ExportError(
                f"modelopt wrote {name} as {theirs.dtypes[name]} {theirs.shapes[name]}; {dtypes[name]} {shape} was "
                "expected"
            )
        yield name, theirs.part(name, *[(0, size) for size in shape])
