"""The root of every error a user can cause; its text is the one line the command line prints.

* MillraceError
  - ConfigError    a setting that does not exist or has the wrong type
  - StorageError   a path that cannot be read or written
  - curator.errors.CuratorError and its tree
"""


class MillraceError(Exception):
    """A user's mistake, or something the user can mend; printed without a traceback."""


class ConfigError(MillraceError, ValueError):
    """A setting that does not exist, or a value of the wrong type."""


class StorageError(MillraceError, OSError):
    """A path that cannot be read or written."""
