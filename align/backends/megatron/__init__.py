"""A policy on the engine of pretraining, megatron-core."""
