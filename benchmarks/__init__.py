"""Measurements of Millrace beside its best peers; see README.md."""
