"""Every error of the curator.

* CuratorError          a user's mistake; one line, no traceback
  - SpecError           YAML or settings that do not describe a pipeline
    - ColumnError       stages whose columns do not fit
  - InputError          input that is missing, or changed since the run began
  - RunError            a run folder that is in use, of another pipeline, or cleaned
  - DedupIndexError     a deduplication index that is missing, damaged, or made with other settings
  - LossError           a stage would remove more of a source than its guard allows
  - DeviceError         a GPU was asked for and cannot be used
  - ModelError          a model or tokenizer file that cannot be had or read
* BadFile               one unreadable input file; the runner quarantines it and goes on
"""

from millrace.errors import ConfigError, MillraceError


class CuratorError(MillraceError):
    """The root of the curator's errors."""


class SpecError(CuratorError, ConfigError):
    """YAML or settings that do not describe a pipeline."""


class ColumnError(SpecError, TypeError):
    """Stages whose columns do not fit together."""


class InputError(CuratorError):
    """Input that is missing, or has changed since the run began."""


class RunError(CuratorError):
    """A run folder that is in use, holds another pipeline's run, or lacks what is asked of it."""


class DedupIndexError(CuratorError):
    """A deduplication index that is missing, damaged, or made with other settings."""


class LossError(CuratorError):
    """A stage would remove more of a source than its guard allows."""


class DeviceError(CuratorError):
    """A device was asked for that cannot be used."""


class ModelError(CuratorError):
    """A model or tokenizer file that cannot be found, fetched or read."""


def check_seed(stage: str, seed: int) -> None:
    """Refuse a seed that is no unsigned 32-bit number."""
    if not 0 <= seed < 1 << 32:
        raise SpecError(f"{stage}.seed is {seed}; it must be from 0 to {(1 << 32) - 1}")


class BadFile(Exception):
    """One input file that cannot be read to its end. Carries the reason as its text."""
