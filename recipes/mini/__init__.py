"""How the embedded checkpoints are made and measured. docs/mini.md describes the stages.

`recipe` trains stage by stage: `vision_pretraining` on sheets from `practice`, then conversations
from `lessons`, packed by `packing` and computed by `forward`. `benchmark` measures the result,
`samples` picks the images that ship.
"""
