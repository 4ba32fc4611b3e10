"""Hides numpy from the processes that are measured: the readers of the test extra bring it, an installation has none.

pyarrow imports it where it finds it, which takes 40 MB.
"""

raise ImportError("not installed where only intercom-lake is")
