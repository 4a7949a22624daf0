"""The files of alignment and evaluation, by script from a curation run: what is learnt, and what is held out.

    python -m pipelines.full.records --curation RUN --output FOLDER

The same documents and settings give the same bytes.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from millrace import storage
from pipelines.full import documents, tasks
from pipelines.full.documents import Document
from pipelines.full.draw import among, drawn
from pipelines.full.sections import Section, sections
from pipelines.full.tasks import Task
from pretrain.config import Data

MANIFEST = "manifest.json"
BEGIN = 4_000  # characters of a held-out document that bits per byte are measured on
EXAMPLES = 4  # sections that models are asked about, for people to read
NEAR = 16  # sections of the nearest lengths, of which wrong ones are drawn


@dataclass(frozen=True)
class Settings:
    """What the files are drawn by, beside pretraining's own split."""

    seed: int = 0
    task_share: float = 0.3  # of arithmetic's keys are held out
    showings: int = 8  # of each training task with its answer in fine-tuning
    formed: float = 0.4  # of these show the answer in the form that is rewarded; the others the bare number
    choices: int = 4  # sections a question offers, one of them true


@dataclass(frozen=True)
class Found:
    """A section and where it stands."""

    id: str
    cluster: str
    section: Section


Files = dict[str, list[dict[str, Any]]]


def make(curation: str, folder: str, data: Data, settings: Settings) -> dict[str, Any]:
    """Write all files and return the manifest; `data`: of pretraining, whose held-out documents are held out here.

    Raises ShardError, and StorageError where the run has no documents.
    """
    kept = list(documents.read(curation))
    documents.write_clusters(kept, storage.join(folder, "clusters.parquet"))
    data = replace(data, shards=(curation,), clusters=storage.join(folder, "clusters.parquet"))
    held = documents.held_ids(data)
    kept = [replace(one, held=one.id in held) for one in kept]
    files, counts = records(kept, settings)
    made = {
        "settings": asdict(settings) | {"validation_share": data.validation_share, "validation_seed": data.seed},
        "documents": {"learnt": len(kept) - len(held), "held out": len(held), "ids held out": sorted(held)},
        "counts": counts,
        "files": {},
    }
    for name, lines in files.items():
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        storage.write_bytes(storage.join(folder, name), content)
        made["files"][name] = {"records": len(lines), "sha256": hashlib.sha256(content).hexdigest()}
    storage.write_json(storage.join(folder, MANIFEST), made)
    return made


def records(kept: Sequence[Document], settings: Settings) -> tuple[Files, dict[str, int]]:
    """Return the records of each file, and what was found and left out."""
    learnt, held, wrong, counts = apart(kept)
    learnt_tasks, held_tasks = tasks.split(settings.seed, settings.task_share)
    shown = [_solved(one, number, settings) for number in range(settings.showings) for one in learnt_tasks]
    fine_tuning = [*map(_conversation, learnt), *shown]
    return {
        "sft.jsonl": shuffled(fine_tuning, settings.seed),
        "dpo.jsonl": [_pair(one, others[0]) for one, others in mismatched(learnt, wrong[False], 1, settings.seed)],
        "grpo.jsonl": [_prompt(one) for one in learnt_tasks],
        "held/documents.jsonl": [{"id": one.id, "text": one.text} for one in kept if one.held],
        "held/begins.jsonl": [{"id": one.id, "text": one.text[:BEGIN]} for one in kept if one.held],
        "held/sections.jsonl": [_conversation(one) for one in held],
        "held/pairs.jsonl": [_pair(one, others[0]) for one, others in mismatched(held, wrong[True], 1, settings.seed)],
        "held/choices.jsonl": [
            _choice(one, others, settings.seed)
            for one, others in mismatched(held, wrong[True], settings.choices - 1, settings.seed)
        ],
        "held/tasks.jsonl": [_prompt(one) for one in held_tasks],
        "held/questions.jsonl": _questions(held, held_tasks, settings.seed),
    }, counts | {"tasks learnt": len(learnt_tasks), "tasks held out": len(held_tasks), "tasks shown": len(shown)}


Apart = tuple[list[Found], list[Found], dict[bool, list[Found]], dict[str, int]]


def apart(kept: Sequence[Document]) -> Apart:
    """Return sections to learn from, held-out ones, both sides' wrong answers (held-out or not), and counts.

    Asked about are sections whose heading stands for one section, or for one page's in several releases, of which the
    first is taken; a wrong answer may be any section. No answer stands in a document of the other side: passages that
    pages share would else be learnt and tested.
    """
    cut = [(one, list(sections(one.text))) for one in kept]
    unclear = _unclear(cut)
    whole = {side: " ".join(_plain(one.text) for one in kept if one.held == side) for side in (False, True)}
    asked: dict[bool, dict[str, Found]] = {False: {}, True: {}}
    wrong: dict[bool, dict[str, Found]] = {False: {}, True: {}}
    left_out = Counter({"in documents of both sides": 0, "several of a heading": 0, "in another release": 0})
    for one, parts in cut:
        for number, section in enumerate(parts):
            found = Found(f"{one.id}#{number}", one.cluster, section)
            if _plain(section.answer) in whole[not one.held]:
                left_out["in documents of both sides"] += 1
                continue
            wrong[one.held].setdefault(section.answer, found)
            if section.question in unclear:
                left_out["several of a heading"] += 1
            elif section.question in asked[one.held]:
                left_out["in another release"] += 1
            else:
                asked[one.held][section.question] = found
    counts = {"sections learnt": len(asked[False]), "sections held out": len(asked[True])}
    counts |= {f"sections left out: {why}": number for why, number in left_out.items()}
    pools = {side: list(found.values()) for side, found in wrong.items()}
    return list(asked[False].values()), list(asked[True].values()), pools, counts


def _unclear(cut: Sequence[tuple[Document, Sequence[Section]]]) -> set[str]:
    """Return headings that stand for several sections of a document, or for sections of several pages."""
    pages: dict[str, set[str]] = {}
    found = set()
    for one, parts in cut:
        named = Counter(section.question for section in parts)
        found |= {question for question, number in named.items() if number > 1}
        for question in named:
            pages.setdefault(question, set()).add(one.cluster)
    return found | {question for question, of in pages.items() if len(of) > 1}


def mismatched(
    asked: Sequence[Found], pool: Sequence[Found], wrong: int, seed: int
) -> Iterable[tuple[Found, list[Found]]]:
    """Yield each section with `wrong` of other pages out of a pool, drawn by hash from those nearest in length.

    Sections for which there are too few are passed over.
    """
    ordered = sorted(pool, key=lambda one: (len(one.section.answer), one.id))
    lengths = [len(one.section.answer) for one in ordered]
    for one in asked:
        place = bisect.bisect_left(lengths, len(one.section.answer))
        near = [n for n in ordered[max(place - NEAR, 0) : place + NEAR] if n.cluster != one.cluster]
        near = [n for n in near if n.section.answer != one.section.answer]
        near.sort(key=lambda other: drawn(f"{one.id} {other.id}", seed))
        if len(near) >= wrong:
            yield one, near[:wrong]


def shuffled(lines: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return records in the order of their hashed ids."""
    return sorted(lines, key=lambda one: drawn(str(one["id"]), seed))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _conversation(one: Found) -> dict[str, Any]:
    return {"id": one.id, "messages": _turns(one.section.question, one.section.answer)}


def _solved(one: Task, number: int, settings: Settings) -> dict[str, Any]:
    id = f"{one.prompt} ({number + 1})"
    answer = one.completion if among(f"form {id}", settings.seed, settings.formed) else one.answer
    return {"id": id, "messages": _turns(one.prompt, answer)}


def _turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _pair(one: Found, other: Found) -> dict[str, Any]:
    return {
        "id": one.id, "prompt": one.section.question, "chosen": one.section.answer, "rejected": other.section.answer,
        "rejected_id": other.id,
    }  # fmt: skip


def _choice(one: Found, others: Sequence[Found], seed: int) -> dict[str, Any]:
    place = drawn(one.id, seed) % (len(others) + 1)
    options = [other.section.answer for other in others]
    options.insert(place, one.section.answer)
    return {"id": one.id, "question": one.section.question, "choices": options, "answer": place}


def _prompt(one: Task) -> dict[str, Any]:
    return {"id": one.prompt, "prompt": one.prompt, "answer": one.answer, "kind": one.kind, "key": one.key}


def _questions(held: Sequence[Found], held_tasks: Sequence[Task], seed: int) -> list[dict[str, Any]]:
    """Return what models are asked, to be read by people: a task of each kind, and sections."""
    kinds = {one.kind: one for one in reversed(held_tasks)}
    made = [{"id": one.prompt, "question": one.prompt, "wanted": one.completion} for one in kinds.values()]
    some = sorted(held, key=lambda one: drawn(one.id, seed))[:EXAMPLES]
    return made + [{"id": one.id, "question": one.section.question, "wanted": one.section.answer} for one in some]


def main() -> int:
    """Make the files, and say what there is."""
    from pipelines import pretraining

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--curation", required=True, metavar="RUN")
    parser.add_argument("--output", required=True, metavar="FOLDER")
    parser.add_argument("--config", default="pretrain-demo", help="of pretraining, which says what is held out")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help="of pretraining")
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = parser.parse_args()
    settings = Settings(**{name: getattr(given, name) for name in asdict(Settings())})
    data = pretraining.load(given.config, given.set).data
    made = make(storage.absolute(given.curation), storage.absolute(given.output), data, settings)
    print(json.dumps({name: one["records"] for name, one in made["files"].items()}), json.dumps(made["counts"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
