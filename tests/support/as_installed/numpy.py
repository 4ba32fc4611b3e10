"""Hides numpy, and so pandas, from processes under test: the test extra's readers bring it, an installation has none.

pyarrow imports it where it finds it, which takes 40 MB and up to 1.7 s of CPU in each process.
"""

raise ImportError("not installed where only intercom-lake is")
