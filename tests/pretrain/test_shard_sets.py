"""The fixture has the form of what Pack writes."""

from __future__ import annotations

import pyarrow.parquet as pq

import curator
from curator import Pipeline
from millrace import storage
from tests.corpus import documents, write_parts
from tests.pretrain.shard_sets import random_documents, write_shards


def test_the_fixture_has_the_form_of_a_run_of_the_curator(tmp_path):
    glob = write_parts(tmp_path / "in", documents(20), 1)
    Pipeline([curator.ReadJsonl(glob), curator.Tokenize(vocab_size=300), curator.Pack(seq_length=64)]).run(
        str(tmp_path / "run"), workers=0
    )
    made = write_shards(tmp_path / "made", random_documents(20, 90, 100), seq_length=64, vocab_size=90)
    there, here = (storage.read_json(f"{folder}/tokens/manifest.json") for folder in (tmp_path / "run", made))
    assert list(here) == list(there)
    assert [list(shard) for shard in here["shards"]] == [list(shard) for shard in there["shards"]]
    schemas = [pq.read_schema(f"{folder}/tokens/shard-00000.parquet") for folder in (tmp_path / "run", made)]
    assert schemas[0] == schemas[1]
