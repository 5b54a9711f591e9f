"""The readers of settings under the name that they had before other rooms wanted them as well."""

from visionthink.data.settings import (
    apply_sets,
    checked,
    did_you_mean,
    model_in,
    parse_yaml,
    read_yaml,
)

__all__ = ["apply_sets", "checked", "did_you_mean", "model_in", "parse_yaml", "read_yaml"]
