"""The model that lmms-eval runs. Only lmms-eval imports this module."""

# lmms-eval is not in the environment that is checked:
# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from lmms_eval.models.model_utils.usage_metrics import log_usage
from loguru import logger
from tqdm import tqdm

from visionthink.core.errors import UsageError
from visionthink.evaluation.lmms.asking import Ask, Asker, Kept, figures, question_of
from visionthink.evaluation.lmms.model_args import ModelArgs
from visionthink.runs.environment import describe_environment
from visionthink.runs.folder import RunFolder


class _VisionThink(lmms):
    """Answers each request of a task by an episode. `given`: see `ModelArgs`."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if processes > 1:
            raise UsageError(
                f"visionthink runs in one process; got {processes}: serve the model on all devices "
                "and give its base_url"
            )
        self._options = ModelArgs.of(given)
        self._engine = self._options.open()
        run = None
        if self._options.run is not None:
            config = self._options.config(self._engine.about.model)
            described = describe_environment(lmms_eval=version("lmms-eval"))
            run = RunFolder.create(self._options.run, config, environment=described, resume=True)
        self._asker = Asker(self._engine, self._options, run)

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        asks = self._asks(requests)
        began = time.perf_counter()
        with tqdm(total=len(asks), desc="Episodes") as bar:
            said = asyncio.run(self._asker.all(asks, bar.update))
        self._log(said, time.perf_counter() - began)
        for request, each in zip(requests, said, strict=True):
            log_usage(
                self._engine.about.model,
                request.task_name,
                each.tokens("prompt_tokens"),
                each.tokens("completion_tokens"),
            )
        return [
            GenerationResult(
                each.text,
                TokenCounts(each.tokens("prompt_tokens"), each.tokens("completion_tokens")),
            )
            for each in said
        ]

    def _asks(self, requests: Sequence[Instance]) -> list[Ask]:
        times = Counter[tuple[str, Any]]()
        asks: list[Ask] = []
        for request in requests:
            load, generation, sample, task = self._read(request)
            repeat = times[task, sample]
            times[task, sample] += 1
            name = f"{sample}#{repeat}" if repeat else str(sample)
            asks.append(Ask(task, name, load, self._options.sampling(generation, f"{task}/{name}")))
        return asks

    def _read(self, request: Instance) -> tuple[Any, dict[str, Any], Any, str]:
        """What loads question and images; the generation settings; the sample; the task."""
        raise NotImplementedError

    def _log(self, said: Sequence[Kept], seconds: float) -> None:
        found = figures(said)
        tokens = sum(each.tokens("completion_tokens") for each in said)
        log_metrics(seconds, tokens, tokens / seconds, found)
        if found["failed"]:
            logger.error(
                f"{found['failed']} of {len(said)} requests failed, and lmms-eval scores them as "
                "answers: start it again with the same run folder (only these are asked again), or "
                "import the results, which leaves them out."
            )
            for each in [each for each in said if each.failed][:3]:
                logger.error(f"{each.record['suite']} {each.record['id']}: {each.record['error']}")
        if found["cut_off"]:
            logger.warning(
                f"{found['cut_off']} of {len(said)} replies were cut off by the token limit: "
                "--gen_kwargs max_new_tokens=... or thought_tokens=... in --model_args raises it"
            )

    def clean(self) -> None:
        """Free the model's memory, which a judge may need."""
        asyncio.run(self._engine.close())
        del self._engine, self._asker
        super().clean()

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("visionthink generates text; it computes no likelihoods")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("visionthink supports no tasks of several rounds")


class VisionThinkChat(_VisionThink):
    """For tasks as chat messages, lmms-eval's default."""

    is_simple = False

    def _read(self, request: Instance) -> tuple[Any, dict[str, Any], Any, str]:
        _, to_messages, generation, sample, task, split = request.args
        docs = self.task_dict[task][split]
        return lambda: question_of(to_messages(docs[sample])), generation, sample, task


class VisionThinkSimple(_VisionThink):
    """For tasks as a text and its images, with --force_simple."""

    is_simple = True

    def _read(self, request: Instance) -> tuple[Any, dict[str, Any], Any, str]:
        text, generation, to_images, sample, task, split = request.args
        docs = self.task_dict[task][split]
        return lambda: (text, to_images(docs[sample]) or []), generation, sample, task
