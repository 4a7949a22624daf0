"""What both we and lm-evaluation-harness are asked, on the same files."""

from tests.serve.evaluate import made

OF = {
    "hellaswag": "hellaswag/hellaswag.yaml", "piqa": "piqa/piqa.yaml", "winogrande": "winogrande/default.yaml",
    "arc_easy": "arc/arc_easy.yaml", "race": "race/race.yaml", "mmlu": "mmlu/default/mmlu_high_school_biology.yaml",
    "perplexity": "wikitext/wikitext.yaml", "gsm8k": "gsm8k/gsm8k.yaml",
}  # fmt: skip
MORE = {
    "perplexity": ['doc_to_target: "{{text}}"', "process_results: null", "should_decontaminate: false"],
    "gsm8k": ["generation_kwargs:", '  until: ["Question:", "</s>", "<|im_end|>"]', "  do_sample: false",
              "  temperature: 0.0", "  max_gen_toks: 24"],
}  # fmt: skip
OURS = {"gsm8k": {"max_tokens": 24}}
SHOTS = ("", "_shots", "_same")
CASES = [(name, way) for name in OF for way in (SHOTS if name != "perplexity" else SHOTS[:1])]
ITEMS = 12


def case(folder, name, way):
    """Write a case's files; return (the harness' task, our settings)."""
    path = made.write(folder, name, ITEMS)
    theirs = {"name": name + way, "of": OF[name], "path": path, "more": MORE.get(name, [])}
    ours = {"path": path, **OURS.get(name, {})}
    if way == "_shots":
        examples = made.write(folder, name, 6, seed=1, as_=f"{name}_dev")
        theirs |= {"shots": 2, "examples": examples}
        ours |= {"shots": 2, "examples": examples}
    elif way == "_same":
        theirs |= {"shots": 1}
        ours |= {"shots": 1, "examples": path}
    return theirs, ours
