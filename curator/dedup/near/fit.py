"""Find near-duplicates of a corpus: link, hang together, gather evidence, decide, list, guard, index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curator.dedup.near import build, guard
from curator.dedup.near.components import find_components, mean_characters
from curator.dedup.near.decide import Job, Rule, decide
from curator.dedup.near.documents import Documents
from curator.dedup.near.evidence import Gather, Shingling, Source, gather
from curator.dedup.near.jobs import plan_jobs
from curator.dedup.near.limits import Limits
from curator.dedup.near.links import Links, find_links
from curator.dedup.near.rounds import decide_in_rounds
from curator.dedup.removals import Removals
from curator.rejections import RejectListed
from curator.run.corpus import Corpus
from curator.run.exchange import Exchange
from millrace import storage

if TYPE_CHECKING:
    from curator.dedup.fuzzy import FuzzyDedup

LIMITS = Limits()
EVIDENCE = 1.4  # bytes of it for a character of a candidate's text


def fit(stage: FuzzyDedup, corpus: Corpus, folder: str) -> RejectListed:
    """Decide the documents of a corpus; write the lists of those that go under `folder`.

    Raises DedupIndexError for an index that cannot be used, LossError where a source would lose too much.
    """
    stage.policy.check_sources("FuzzyDedup", corpus)
    documents = Documents.of(corpus, stage.indexes())
    shingling = Shingling(stage.shingles, stage.width)
    source = Source(
        documents,
        tuple(stage.band_names()),
        shingling if stage.verify else None,
        stage.policy,
        corpus.device,
    )
    removals = Removals.of(corpus)
    links = find_links(corpus, documents, stage.band_names(), stage.max_bucket, stage.within, LIMITS.task_rows)
    over = _decide_all(stage, corpus, source, links, removals)
    if over:
        corpus.say(
            f"FuzzyDedup: {over} buckets hold more than {stage.max_bucket} kept documents; "
            "in those, later documents were compared with the first of them only"
        )
    lost = removals.publish(corpus, folder)
    rejecting = RejectListed(folder, "near_duplicate", stage.jaccard if stage.verify else None)
    guard.check(corpus, documents, links.census, lost, rejecting, stage.max_source_loss, tuple(stage.allow_loss))
    if stage.index != "none":
        build.write_index(corpus, source, shingling, rejecting, stage.settings(), stage.index)
    return rejecting


def _decide_all(stage: FuzzyDedup, corpus: Corpus, source: Source, links: Links, removals: Removals) -> int:
    """Decide every candidate; return how many buckets are over the cap."""
    rule = Rule(stage.cluster, stage.verify, stage.jaccard, stage.max_bucket, stage.within)
    each = max(1.0, mean_characters(links.census) * EVIDENCE + 16 * stage.bands)
    fit_a_job = max(1, int(LIMITS.job_bytes / each))
    candidates = find_components(corpus, source.documents, links, fit_a_job, fit_a_job, LIMITS)
    storage.remove(links.folder)
    jobs = plan_jobs(corpus, source, candidates, fit_a_job, rounds=stage.cluster == "witness")
    dealt = Exchange(storage.join(corpus.scratch, "evidence"), jobs.count + jobs.sliced)
    groups = range(len(candidates.groups))
    corpus.map("gathering evidence", gather, [Gather(source, candidates, g, jobs, dealt) for g in groups])
    tasks = [Job(source, dealt, number, rule, removals) for number in range(jobs.count)]
    over = corpus.map("deciding", decide, tasks)
    over += decide_in_rounds(corpus, source, dealt, jobs.count, jobs.sliced, rule, removals)
    over.append(links.over_cap)
    storage.remove(dealt.folder)
    return len(np.unique(np.concatenate(over)))
