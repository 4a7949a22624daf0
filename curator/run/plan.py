"""Cut a pipeline into segments: passes over the parts, with corpus stages fitted between them.

read, extract, ..., filters          segment 0; sketches of every corpus stage whose `reads` stay as they are
fit ExactDedup, FuzzyDedup, Tokenize between the segments, in order
apply what they returned             segment 1; sketches of Pack
fit Pack

A corpus stage whose result measures documents (LineDedup) ends its segment: whom it drops is known only
once it is applied, and a document that is to be dropped must not stand in for another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from curator.errors import SpecError
from curator.pipeline import Pipeline
from curator.stage import CorpusStage, Filter, Reader, Stage

Numbered = tuple[int, Stage]  # a stage and its place in the pipeline


@dataclass
class Segment:
    """One pass: stages that work batch by batch, then sketches, then corpus stages to fit."""

    number: int
    stages: list[Numbered] = field(default_factory=list)  # corpus stages of the segment before among them
    sketches: list[tuple[int, CorpusStage]] = field(default_factory=list)
    fits: list[tuple[int, CorpusStage]] = field(default_factory=list)
    last: bool = False


def cut(pipeline: Pipeline) -> list[Segment]:
    """Return the segments of a pipeline. Raises SpecError where the first stage is no reader."""
    if not pipeline.stages or not isinstance(pipeline.stages[0], Reader):
        raise SpecError(f"a pipeline that runs begins with a reader; this one is {pipeline or 'empty'}")
    segments = [Segment(0)]
    for index, stage in enumerate(pipeline.stages):
        here = segments[-1]
        if isinstance(stage, CorpusStage):
            if any(fitted.stored() or set(fitted.writes) & set(stage.reads) for _, fitted in here.fits):
                here = _next(segments)
            here.fits.append((index, stage))
            _sketched_in(segments, stage).sketches.append((index, stage))
        else:
            if here.fits:
                here = _next(segments)
            here.stages.append((index, stage))
    if any(stage.applied for _, stage in segments[-1].fits):
        _next(segments)
    segments[-1].last = True
    return segments


def _next(segments: list[Segment]) -> Segment:
    carried: list[Numbered] = [(i, stage) for i, stage in segments[-1].fits if stage.applied]
    segments.append(Segment(len(segments), stages=carried))
    return segments[-1]


def _sketched_in(segments: list[Segment], stage: CorpusStage) -> Segment:
    """The earliest segment after which nothing writes what the stage's sketch reads."""
    chosen = segments[-1]
    for earlier in reversed(segments[:-1]):
        if any(set(s.writes) & set(stage.reads) for _, s in chosen.stages):
            break
        chosen = earlier
    return chosen


def late_filters(pipeline: Pipeline) -> list[str]:
    """Names of filters placed after deduplication: a duplicate may have lost its place to a document
    that falls later."""
    seen, late = False, []
    for stage in pipeline.stages:
        if isinstance(stage, CorpusStage) and stage.applied and not stage.writes:
            seen = True
        elif seen and isinstance(stage, Filter):
            late.append(type(stage).__name__)
    return late
