"""Other limits for a finished run: what they would keep, decided on the signals it stored.

No text is read, but for the examples. What can be set are limits of filters (and what else only `reject`
looks at). Up to the next stage that looks at the whole corpus the numbers are exact; past it the run's own
decisions are taken as they were, and the numbers are an estimate.
"""

from curator.retune.retune import Retuned, retune
from curator.retune.say import say

__all__ = ["Retuned", "retune", "say"]
