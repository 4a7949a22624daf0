"""Curated against raw: the same small model, trained on as many tokens of either, measured on held-out clean text.

    python -m benchmarks.curation_quality --work ../curation-quality           # two CPU cores, 37 minutes
    python -m benchmarks.curation_quality --size gpu --work ../curation-quality    # one GPU, 124 M parameters

What is compared was decided before anything was measured:

* The sources are the HTML crawl and the texts of the bench folder, without every planted copy of `truth.parquet`.
* `raw` is all visible text of each page, as a WET file has it, and each text as it is; `curated` is what the stages
  of `millrace curate web` leave of the same; `control` draws from a random part of raw that has as many bytes as
  curated. `polluted` is raw with the planted copies put back: an arm apart, which says what copies cost.
* Each arm is trained on the same number of tokens of the same tokenizer (learnt from equal shares of raw and curated).
  A seed draws the documents, the first weights and the order.
* Held out: documents of the bench corpus drawn by hash, none of which has a near-duplicate there; gold texts of news
  pages, marked by hand; the Brown corpus. Every document of any arm that shares 13 words in a row with one is dropped.
* The measure is bits per byte, each part of the held-out set counting the same; the cloze test asks which of four
  sentences follows. Intervals are of the paired bootstrap over held-out documents (items), seeds taken together.

sources.py   what the arms are made of
holdout.py   the held-out set and the cloze items
arms.py      curated, raw, control, polluted: from documents to token shards
training.py  `millrace pretrain`, two at a time
scoring.py   `millrace evaluate`, and the intervals
"""
