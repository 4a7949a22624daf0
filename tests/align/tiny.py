"""Models and tokenizers of a size for tests, as Hugging Face folders."""

import torch

WORDS = "the quick brown fox jumps over the lazy dog and counts from one to nine 0 1 2 3 4 5 6 7 8 9".split()
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(folder, vocab_size=320):
    """Train a byte-level BPE with ChatML's tokens, save it, and return it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator([" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))], trainer)
    whole = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|pad|>")
    whole.chat_template = TEMPLATE
    whole.save_pretrained(folder)
    return whole


def model(folder, kind="llama", vocab_size=320, seed=0, hidden=32, layers=2, **more):
    """Save a model of random weights with its tokenizer; return the folder's path as text."""
    import transformers

    names = tokenizer(folder, vocab_size)
    torch.manual_seed(seed)
    ends = {"eos_token_id": names.eos_token_id, "pad_token_id": names.pad_token_id, "bos_token_id": None}
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=len(names), n_embd=hidden, n_layer=layers, n_head=4, n_positions=256, **ends, **more
        )
    else:
        kinds = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}
        config = kinds[kind](
            vocab_size=len(names), hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, **ends, **more,
        )  # fmt: skip
    made = transformers.AutoModelForCausalLM.from_config(config)
    made.save_pretrained(folder)
    return str(folder)
