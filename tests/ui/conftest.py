"""Tests in a browser are collected where there is one, or where one is required."""

from __future__ import annotations

import os

import pytest

from tests.support.browser import chromium

collect_ignore = [] if chromium() else ["test_run_form.py"]
if collect_ignore and os.environ.get("BROWSER_TESTS") == "required":
    raise pytest.UsageError("BROWSER_TESTS=required, but there is no chromium: install Debian's package `chromium`.")
