"""Every error of alignment.

* AlignError            a user's mistake, or something the user can mend; one line, no traceback
  - AlignSettingsError  a configuration that describes no alignment run
  - DataError           records that are no conversation, pair, label or prompt; templates a tokenizer lacks
  - ModelError          a base model or adapter that is missing, or does not fit
  - RewardError         a reward that raises, hangs, or is no number
  - RolloutError        generation that cannot go on: an engine out of reach, or one that disagrees with the trainer

A lost rank and a checkpoint of another run are pretrain's TrainingError and CheckpointError.
"""

from millrace.errors import ConfigError, MillraceError


class AlignError(MillraceError):
    """The root of alignment's errors."""


class AlignSettingsError(AlignError, ConfigError):
    """A configuration that describes no alignment run."""


class DataError(AlignError):
    """Records that are no conversation, pair, label or prompt; templates a tokenizer lacks."""


class ModelError(AlignError):
    """A base model or adapter that is missing, or does not fit."""


class RewardError(AlignError):
    """A reward that raises, hangs, or is no number."""


class RolloutError(AlignError):
    """Generation that cannot go on: an engine out of reach, or one that disagrees with the trainer."""
