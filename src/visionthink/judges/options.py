"""What a judge is made from: options of the command line and of configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["rules", "llm", "cascade"]
Metric = Literal["auto", "exact", "numeric", "choice", "yes_no", "anls", "list"]


class JudgeOptions(BaseModel):
    """Options of `open_judge`; those of another kind of judge are ignored.

    Attributes:
        kind: what decides. cascade: rules where the case is clear, else the model.
        metric: what rules compare by; auto takes it from the form of the ground truth.
        tolerance: relative difference between numbers that counts as none.
        anls_threshold: least similarity that the metric anls calls right.
        base_url: OpenAI-compatible server, up to its /v1.
        model: the name it serves the judging model under.
        api_key_env: environment variable that holds the key; a server without keys needs none.
        concurrency: requests open at once, per event loop.
        timeout: seconds that one try may take, from sending to the last byte.
        retries: tries after the first one.
        patience: seconds without any reply after which the server counts as down: what waits
            fails at once, and only one probe at a time goes out until a reply comes.
        max_tokens: length limit of a reply, reasoning included.
        extra_body: further fields of each request, as {"chat_template_kwargs": {"enable_thinking":
            false}} for Qwen3.
        cache: file that keeps verdicts; several processes may share it. None: memory only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "rules"
    metric: Metric = "auto"
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    anls_threshold: float = Field(default=0.5, gt=0, le=1)
    base_url: str | None = None
    model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = Field(default=16, ge=1)
    timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    retries: int = Field(default=3, ge=0)
    patience: float = Field(default=120.0, ge=0, allow_inf_nan=False)
    max_tokens: int = Field(default=2048, ge=1)
    extra_body: dict[str, Any] = Field(default_factory=dict[str, Any])
    cache: Path | None = None
