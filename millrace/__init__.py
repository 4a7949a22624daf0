"""The ground floor: storage, typed configuration, errors and progress. Imports none of the others."""

__version__ = "0.1.0"
