"""The libraries a policy runs on: Hugging Face models with FSDP2, and Megatron-core."""
