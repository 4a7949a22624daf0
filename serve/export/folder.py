"""A Hugging Face folder as a source of exports."""

from __future__ import annotations

from typing import Any

from millrace import storage
from pretrain.errors import WeightsError
from pretrain.hf.config import ARCHITECTURES, read_family
from pretrain.hf.config import read_config as read_model
from pretrain.hf.folder import INDEX
from pretrain.hf.tables import SCORE
from pretrain.hf.weights import Weights
from serve.errors import ExportError, ModelFolderError
from serve.export.spelling import both_spellings
from serve.model import quantised_by, read_config

FLOATS = ("float32", "bfloat16", "float16")
SCORES = "ForSequenceClassification"  # transformers' classes with a head of numbers
# What a folder holds that is weights, or speaks of them or of an export that was.
_WEIGHTS = (
    ".safetensors", ".bin", INDEX, ".index.json", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx", ".ckpt", ".nemo",
)  # fmt: skip
_OWN = ("config.json", "hf_quant_config.json", "README.md", "export.json")


class FolderSource:
    """A Hugging Face folder, checked against its model by the headers of its files; no tensor is read.

    run: the folder of the run that handed it on, "" where there is none. Raises ModelFolderError for an unknown
    architecture, missing, unknown or lying tensors; ExportError for a quantised model.
    """

    def __init__(self, name: str, folder: str, run: str = ""):
        self.name, self.folder, self.run = name, folder, run
        given = read_config(folder)
        refuse_quantised(folder, given)
        try:
            self.family, self.model = read_family(folder), read_model(folder)
            self.outputs = _outputs(folder, given, self.family)
            self._weights = Weights(folder, self.model, self.outputs)
        except WeightsError as error:
            raise ModelFolderError(str(error)) from None
        if self._weights.fresh:
            raise ModelFolderError(f"{folder} is said to score sequences, but has no {SCORE}")
        self.shapes, self.dtypes = self._weights.shapes, self._weights.dtypes
        for tensor, dtype in self.dtypes.items():
            if dtype not in FLOATS:
                raise ExportError(f"{folder}: {tensor} is {dtype}: a quantised model; {_WANTED}")
        self._last: Any = None
        self.dtype = self.dtypes[next(iter(self.shapes))]
        self.config = both_spellings(given, self.model, self.dtype)

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor: the file's own bytes, mapped into memory; what was given before is let go."""
        if self._last is not None:
            self._weights.release(self._last)
        self._last = self._weights.part(name, *(bounds or [(0, size) for size in self.shapes[name]]))
        return self._last

    def copy_rest(self, folder: str) -> None:
        """Copy every file that is no weight; another's model card stays beside ours as README.base.md."""
        copy_rest(self.folder, folder)
        write_generation(folder, self.config)


_WANTED = "export takes the weights it was made of, in float32, bfloat16 or float16"


def refuse_quantised(folder: str, config: dict[str, Any]) -> None:
    """Raise ExportError where a folder says that its weights are quantised."""
    if method := quantised_by(folder, config):
        raise ExportError(f"{folder} is quantised already, by {method}; {_WANTED}")


def _outputs(folder: str, config: dict[str, Any], family: str) -> int:
    """Return how many scores a model gives, 0 for a language model. Raises ModelFolderError for other heads."""
    kind = str((config.get("architectures") or [ARCHITECTURES[family]])[0])
    if kind == ARCHITECTURES[family]:
        return 0
    if kind.endswith(SCORES):
        named = config.get("id2label")
        return len(named) if isinstance(named, dict) else int(config.get("num_labels", 2))  # 2: transformers' default
    raise ModelFolderError(
        f"{folder}/config.json: architectures is {kind!r}; a {family} model is exported as {ARCHITECTURES[family]} "
        f"or with a head of scores (...{SCORES})"
    )


def copy_rest(source: str, target: str) -> None:
    """Copy the files of a folder that are neither weights nor of an export."""
    ours = storage.exists(storage.join(source, "export.json"))
    for name in storage.list_folder(source):
        if storage.size(storage.join(source, name)) is None or name.startswith("."):
            continue
        if name == "README.md" and not ours:
            storage.write_bytes(storage.join(target, "README.base.md"), storage.read_bytes(f"{source}/{name}"))
        elif name not in _OWN and not name.endswith(_WEIGHTS):
            storage.write_bytes(storage.join(target, name), storage.read_bytes(storage.join(source, name)))


def write_generation(folder: str, config: Any) -> None:
    """Write generation_config.json with the ids of config.json, where the folder has none."""
    url = storage.join(folder, "generation_config.json")
    if not storage.exists(url):
        named = ("bos_token_id", "eos_token_id", "pad_token_id")
        storage.write_json(url, {name: config[name] for name in named if config.get(name) is not None})
