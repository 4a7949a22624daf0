"""Recipes and the `millrace` command line: the only package that imports all the others."""
