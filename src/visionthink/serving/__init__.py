"""An OpenAI-compatible server that runs every question as an episode."""
