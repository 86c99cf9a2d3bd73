"""Searches: encoder output in, hypotheses out. `search.py` finds a method by its name, `methods.py` names them all."""
