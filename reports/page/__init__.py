"""The page: what of the lecture is true where, in one HTML file that needs nothing else and asks nobody.

`gather.py` reads the results and says which it refused or marked, `history.py` tells since when what is so, `data.py`
makes what the page shows, `speed.py` the benchmarks' figures, `build.py` the file.
"""
