"""Faults and load, each a story with a size: the end-to-end tests run small ones, `Tools/faults` large ones.

A story is a function that takes a `Stage` and its sizes, asserts what must hold, and returns what it counted as one line.
"""
