"""Every error of export, evaluation and serving.

* ServeError              a user's mistake, or something the user can mend; one line, no traceback
  - ServeSettingsError    a setting of an export, an evaluation or a server that cannot be
  - ModelFolderError      what was named as a model is none, or none that this command takes
  - ExportError           a model that a format cannot hold, or a folder that would load wrong
  - EvaluationError       an evaluation file that lacks what its task needs
  - EngineError           a request the engine cannot run; `QueueFull` where it could later; `EngineStopped`, none ever
  - RailError             a rail that cannot decide: its judge does not answer, its model fails; nothing passes

What a client did wrong is no error of these: the server answers it with a status and one line.
"""

from millrace.errors import ConfigError, MillraceError


class ServeError(MillraceError):
    """The root of the errors of export, evaluation and serving."""


class ServeSettingsError(ServeError, ConfigError):
    """A setting of an export, an evaluation or a server that cannot be."""


class ModelFolderError(ServeError):
    """What was named as a model is none, or none that this command takes."""


class ExportError(ServeError):
    """A model that a format cannot hold, or a folder that would load wrong."""


class EvaluationError(ServeError):
    """An evaluation file that lacks what its task needs."""


class EngineError(ServeError):
    """A request the engine cannot run."""


class QueueFull(EngineError):
    """As many requests wait as may wait; the same request may be taken later."""


class EngineStopped(EngineError):
    """The engine was closed, or an error of its own ended it: it runs no request any more."""


class RailError(ServeError):
    """A rail that cannot decide; nothing passes then. Its words hold no part of the text."""
