"""Every error of pretraining.

* PretrainError         a user's mistake, or something the user can mend; one line, no traceback
  - SettingsError       a configuration that does not describe a training run
    - ParallelError     parallel sizes that do not fit the model, the batch or the machine
  - ShardError          token shards that are missing, damaged, or of another vocabulary
  - CheckpointError     a checkpoint that is missing, half-written, damaged, or of another model, tokenizer or data
  - WeightsError        a Hugging Face folder whose weights or configuration do not fit
  - TrainingError       training that cannot go on: too many bad batches, a lost or hanging rank
"""

from millrace.errors import ConfigError, MillraceError


class PretrainError(MillraceError):
    """The root of pretraining's errors."""


class SettingsError(PretrainError, ConfigError):
    """A configuration that does not describe a training run."""


class ParallelError(SettingsError):
    """Parallel sizes that do not fit the model, the batch or the machine."""


class ShardError(PretrainError):
    """Token shards that are missing, damaged, or of another vocabulary."""


class CheckpointError(PretrainError):
    """A checkpoint that is missing, half-written, damaged, or of another model, tokenizer or data."""


class WeightsError(PretrainError):
    """A Hugging Face folder whose weights or configuration do not fit."""


class TrainingError(PretrainError):
    """Training that cannot go on: too many bad batches, a lost or hanging rank."""
