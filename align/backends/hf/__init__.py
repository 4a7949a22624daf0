"""A policy that is any transformers model, on one rank or sharded over several by FSDP2."""
