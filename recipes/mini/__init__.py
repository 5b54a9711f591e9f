"""How the embedded checkpoints are made from nothing, and measured: `python -m recipes.mini`."""
