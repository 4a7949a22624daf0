"""Attention document by document, against one mask over all."""

from types import SimpleNamespace

import pytest
import torch

from align.backends.hf.attention import attend


@pytest.mark.parametrize("window", [None, 3])
def test_documents_see_what_a_mask_lets_them_see(window):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 11, 8) for heads in (4, 2, 2))
    module = SimpleNamespace(num_key_value_groups=2, is_causal=True)
    documents = [(0, 5), (5, 6), (6, 11)]
    mask = torch.zeros(11, 11, dtype=torch.bool)
    for start, stop in documents:
        for at in range(start, stop):
            mask[at, max(start, at - (window or 99) + 1) : at + 1] = True

    ours, _ = attend(module, query, key, value, None, documents=[5, 1, 5], sliding_window=window, scaling=0.3)

    k, v = (x.repeat_interleave(2, 1) for x in (key, value))
    theirs = torch.nn.functional.scaled_dot_product_attention(query, k, v, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(ours, theirs.transpose(1, 2), rtol=1e-5, atol=1e-6)
