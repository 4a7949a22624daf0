"""Token shards as batches: which rows, in which order, cut how."""
