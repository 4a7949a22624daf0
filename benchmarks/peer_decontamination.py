"""datatrove's n-gram decontamination on items and documents of a JSON file: `python peer_decontamination.py IN OUT`.

Its indexer asks for lighteval, which it needs for that library's own tasks alone; the hashes are made by its
`compute_hashes`, and written as it writes them.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer

given = json.loads(Path(sys.argv[1]).read_text())
NGramsDecontIndexer._requires_dependencies = []
answer = {}
for name, query in (("default", False), ("query", True)):
    config = NGramsDecontConfig(find_query_ngrams=query)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        indexer = NGramsDecontIndexer(folder, config=config)
        hashes = {h for item in given["items"] for h in indexer.compute_hashes(item["label"], item["query"])}
        np.array(sorted(hashes), config.hash_config.np_descr).tofile(Path(folder) / "all.index.hashes")
        built = time.process_time() - began
        step = NGramsDecontFilter(folder, config=config)
        step.filter(Document(text="warm up", id="0"))
        began = time.process_time()
        kept = [step.filter(Document(text=text, id="0")) for text in given["documents"]]
        answer[name] = {
            "found": [decision is not True for decision in kept],
            "cpu": time.process_time() - began,
            "build": built,
            "ngrams": len(hashes),
        }
Path(sys.argv[2]).write_text(json.dumps(answer))
