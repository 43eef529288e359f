"""Benchmark figures: one format of file for runs, release axes and evidence, and what becomes of it.

`document` makes, reads and records files; `statistics` says what is a difference; `tables` and `plots` show.
"""
