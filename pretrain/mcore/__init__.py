"""The one door to megatron.core."""
