"""Small tokenizers, trained in memory, and chat templates that mark their answers for transformers to mask."""

from __future__ import annotations

import functools
from typing import Any

TEXTS = [
    "What is the capital of France? Paris is the capital of France.",
    "Write a story about a river. Once there was a river, and it ran to the sea.",
    "system user assistant model question answer \n\n ### Instruction: ### Response: [INST] [/INST] 0123456789",
] * 20
SPECIAL = (
    "<|bos|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>",
)  # fmt: skip

# transformers marks what lies between generation and endgeneration
CHATML = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}{%- if m.role == 'assistant' -%}"
    "{%- generation -%}{{- m.content + '<|im_end|>' -}}{%- endgeneration -%}{%- else -%}"
    "{{- m.content + '<|im_end|>' -}}{%- endif -%}{{- '\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
LLAMA3 = (
    "{{- bos_token -}}{%- for m in messages -%}"
    "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' -}}{%- if m.role == 'assistant' -%}"
    "{%- generation -%}{{- m.content | trim + '<|eot_id|>' -}}{%- endgeneration -%}{%- else -%}"
    "{{- m.content | trim + '<|eot_id|>' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}"
)
MISTRAL = (
    "{{- bos_token -}}{%- for m in messages -%}{%- if m.role == 'assistant' -%}"
    "{%- generation -%}{{- ' ' + m.content + eos_token -}}{%- endgeneration -%}"
    "{%- else -%}{{- '[INST] ' + m.content + ' [/INST]' -}}{%- endif -%}{%- endfor -%}"
)
REWRITING = (  # as some reasoning models': the last answer gets an empty thought, which earlier ones lose
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}{%- if m.role == 'assistant' and loop.last -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}{{- m.content + '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
MARKED = {"chatml": CHATML, "llama3": LLAMA3, "mistral": MISTRAL}


@functools.cache
def tokenizer(template: str = "", special: tuple[str, ...] = SPECIAL, adds_bos: bool = False) -> Any:
    """A byte-level BPE of 400 tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(special), initial_alphabet=alphabet)
    made.train_from_iterator(TEXTS, trainer)
    if adds_bos:
        made.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", made.token_to_id("<|bos|>"))]
        )
    named = {"bos_token": "<|bos|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    whole = PreTrainedTokenizerFast(tokenizer_object=made, **{k: v for k, v in named.items() if v in special})
    whole.add_special_tokens({"additional_special_tokens": [one for one in special if one not in named.values()]})
    whole.chat_template = template or None
    return whole
