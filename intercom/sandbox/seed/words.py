"""Words that synthetic records are made of: several scripts, emoji, and text that is hard to escape."""

from __future__ import annotations

FIRST_NAMES = (
    "Ada", "Zoë", "Nguyễn", "José", "Łukasz", "محمد", "שרה", "山田", "Олена", "Priya", "O'Brien", "Sam", "Mia", "Kofi",
    "Ingrid", "Chloé", "Ömer", "João", "Ji-woo", "Anaïs",
)  # fmt: skip
LAST_NAMES = (
    "Lovelace", "Müller", "García", "العربي", "כהן", "太郎", "Шевченко", "Patel", "Smith \"JJ\" Jones", "Núñez",
    "Van der Berg", "Okafor", "Kim", "D\\Angelo", "Ångström", "Žižek",
)  # fmt: skip
COMPANY_WORDS = ("Blue", "Northern", "Acme", "Größe", "Sun & Moon", "東京", "Nimbus", "Tilde~", "Quartz", "Ostrava")
COMPANY_KINDS = ("Software", "Logistics", "GmbH", "Foods, Inc.", "Labs", "株式会社", "& Sons", "Bank")
INDUSTRIES = ("Software", "Retail", "Banking & Insurance", "Health", "Education", "Énergie")
DOMAINS = ("example.com", "example.org", "mail.example.net", "shop.example", "bücher.example")
BROWSERS = (("chrome", "126.0.0.0"), ("safari", "17.5"), ("firefox", "127.0"), ("edge", "125.0.2535.92"))
SYSTEMS = ("Windows 10", "OS X 10.15.7", "Linux", "Android 14", "iOS 17.5")
LANGUAGES = ("en", "de", "fr", "pt-BR", "ja", "ar", "he")
PLACES = (
    ("United States", "California", "San Francisco", "USA", "NA"),
    ("Germany", "Bayern", "München", "DEU", "EU"),
    ("India", "West Bengal", "Kolkata", "IND", "AS"),
    ("New Zealand", "Auckland", "Auckland", "NZL", "OC"),
    ("Brazil", "São Paulo", "São Paulo", "BRA", "SA"),
    ("Ireland", "Dublin", "Dublin", "IRL", "EU"),
)
SENTENCES = (
    "How do I change the e-mail address of my account?",
    "The export stops at 99 % & nothing else happens…",
    "Grazie mille! 🎉👩‍💻 Funziona tutto.",
    "هل يمكنني استرداد المبلغ؟",
    "שלום, יש לי שאלה על החשבונית.",
    "ご返信ありがとうございます。",
    "See <a href=\"https://example.com/?a=1&amp;b='2'\">this page</a>.",
    'A "quoted" text with a back\\slash, a tab\tand a\nline break.',
    "Zero\u200bwidth, no\u00a0break, line\u2028separator, combining e\u0301.",
    "It costs €1.10 or £0,99: which of the two?",
)
TAG_NAMES = ("VIP", "churn risk", "Beta 🚀", "invoice", "feature request", "Überfällig", "bug", "نشط", "trial", "spam?")
TICKET_TYPES = ("Bug", "Störung", "Feature request", "返金", "Access")
ARTICLE_TITLES = (
    "Getting started", "Rechnungen verstehen", "How to reset a password", "Les options d'export", "料金プラン",
    "Webhooks & events", "Roles <admin>, <agent>", "كيفية البدء",
)  # fmt: skip
