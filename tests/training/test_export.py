"""What a supervised run leaves: a whole checkpoint, and adapters apart and merged."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from checkpoints import save_qwen2_5_vl
from training.schooling import MINI, REQUEST, changed_by, config_of, quiet, rows, trainer_of
from visionthink.core.families import QwenGrid
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.mini import CHECKPOINTS
from visionthink.training.export import export_checkpoint
from visionthink.training.sft import train_sft
from visionthink.training.sft_data import Collator, Lesson


def test_the_exported_checkpoint_is_complete(tmp_path: Path):
    """Another bound on pixels than the source has. Of 16 rows 7/13 are weak: 8.6, so 9; the
    strong and the lucky ones need more.
    """
    config = config_of("mini-base", "trainer.max_steps=1", "model.max_pixels=12544")
    said: list[str] = []
    folder = train_sft(config, tmp_path / "run", say=said.append)
    checkpoint = load_checkpoint(folder, device="cpu")
    assert checkpoint.profile == "mini"
    assert isinstance(checkpoint.grid, QwenGrid)
    assert checkpoint.grid.max_pixels == 12544
    source = CHECKPOINTS / "mini-base"
    assert checkpoint.stop_ids == load_checkpoint(source, device="cpu").stop_ids
    for name in ("chat_template.jinja", "tokenizer.json", "generation_config.json"):
        assert (folder / name).is_file()
    exported = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert exported.get("use_cache", True) is True
    named = (folder / "tokenizer_config.json").read_text(encoding="utf-8")
    assert "processor_class" not in named  # ours would be found nowhere else
    assert said[0] == "training mini-base on 16 conversations, 9 direct and 7 with a request"
    assert said[-1] == f"the trained checkpoint is {folder}"


def test_export_replaces_an_older_model(tiny: Checkpoint, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("x", encoding="utf-8")
    export_checkpoint(trainer_of(tiny, tmp_path / "out"), tiny, "agent", tmp_path / "model")
    assert not (tmp_path / "model" / "old").exists()
    assert load_checkpoint(tmp_path / "model", device="cpu").profile == "agent"
    modes = {file.stat().st_mode for file in (tmp_path / "model").iterdir()}
    assert len(modes) == 1  # safetensors keeps its files to their owner


def test_export_replaces_a_link_and_leaves_its_target_alone(tiny: Checkpoint, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (tmp_path / "model").symlink_to(tmp_path / "elsewhere")
    export_checkpoint(trainer_of(tiny, tmp_path / "out"), tiny, "agent", tmp_path / "model")
    assert not (tmp_path / "model").is_symlink()
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["precious"]
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_adapters_are_saved_alone_and_merged(tmp_path: Path):
    """The merged checkpoint says what the base with the adapter says, and the base is untouched
    where no adapter is.
    """
    from peft import PeftModel

    base = save_qwen2_5_vl(tmp_path / "tiny")
    config = config_of(base, "model.lora={r: 4}", "trainer.learning_rate=1e-2")
    folder = train_sft(config, tmp_path / "run", say=quiet)
    merged = load_checkpoint(folder, device="cpu")
    plain = load_checkpoint(base, device="cpu")
    batch = Collator(plain, MINI)([Lesson(rows("hatch", size=1)[0], REQUEST)])
    for name in ("labels", "loss_weights"):
        del batch[name]
    with torch.no_grad():
        before = plain.model(**batch).logits
        adapted = PeftModel.from_pretrained(plain.model, folder / "adapter")(**batch).logits
        after = merged.model(**batch).logits
    assert torch.allclose(adapted, after, atol=1e-4)
    assert not torch.allclose(before, after, atol=1e-2)
    changed = changed_by(tmp_path / "run", base)
    assert changed
    assert all("visual" not in name and "_proj" in name for name in changed)
