"""Pruning: FastV, SparseVLM and VisionZip, the baselines, as hooks on an hf engine.

`methods` says which share of the visual tokens stays on which layer; `layers` (FastV, SparseVLM)
and `tower` (VisionZip) drop the others from the hidden states, the KV cache and the positions;
`cost` predicts what a prompt costs. Importing this loads no torch.
"""

from visionthink.pruning.engine import pruned_engine
from visionthink.pruning.methods import FastV, Method, SparseVLM, VisionZip, parse_method

__all__ = ["FastV", "Method", "SparseVLM", "VisionZip", "parse_method", "pruned_engine"]
