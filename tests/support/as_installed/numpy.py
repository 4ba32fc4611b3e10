"""Hides numpy, and so pandas, from processes under test: only the test dependencies install it.

pyarrow imports numpy if it is installed, which takes 40 MB and up to 1.7 s of CPU in each process.
"""

raise ImportError("not installed where only intercom-lake is")
