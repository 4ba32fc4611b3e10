"""Where the overview finds the report: from the environment, checked before a run begins."""

from __future__ import annotations

import pytest

from intercom.errors import ConfigurationError
from intercom.orchestration.observe.report_link import ReportSettings

VARIABLE = "INTERCOM_REPORT_URL"


def test_nothing_is_linked_unless_someone_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert ReportSettings.read().page_of("acme") is None
    monkeypatch.setenv(VARIABLE, "  ")
    assert ReportSettings.read().page_of("acme") is None


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://reports.example.com/crm.html", "https://reports.example.com/crm.html"),
        ("http://10.0.0.7:8080/{connection}/report.html", "http://10.0.0.7:8080/acme%20eu%2F1/report.html"),
        ("https://reports.example.com/?of={connection}", "https://reports.example.com/?of=acme%20eu%2F1"),
        ("http://[::1]:8080/report.html", "http://[::1]:8080/report.html"),
    ],
)
def test_an_address_may_have_the_connection_in_it(monkeypatch: pytest.MonkeyPatch, url: str, page: str) -> None:
    monkeypatch.setenv(VARIABLE, url)
    assert ReportSettings.read().page_of("acme eu/1") == page


@pytest.mark.parametrize(
    "url",
    [
        *("report.html", "s3://bucket/a", "https://", "https://a b/", "https://a/(x", "http://[::1/", "//a/b"),
        *("https://user:hunter2@a/b", "https://a:port/b", "https://a/{lake}"),
    ],
)
def test_an_address_of_no_page_is_refused_with_what_to_give(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(VARIABLE, url)
    with pytest.raises(
        ConfigurationError, match=r"INTERCOM_REPORT_URL is .* Give the address of a web page"
    ) as refused:
        ReportSettings.read()
    assert "hunter2" not in str(refused.value)
