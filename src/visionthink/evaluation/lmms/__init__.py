r"""lmms-eval with this package's models: a plugin for it, and its results as our run folders.

    python -m lmms_eval --model visionthink --model_args pretrained=mini,run=out/episodes \
        --tasks pope,chartqa --output_path out/lmms --log_samples
    python -m visionthink.evaluation.lmms import out/lmms --out out/imported
    visionthink report out/imported

Only `model` imports lmms-eval; lmms-eval finds it by `manifest`.
"""
