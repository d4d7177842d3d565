"""Amounts of money as whole cents."""


def parse(text):
    """ "-12.30" -> -1230. ValueError for anything that is not an amount."""
    text = text.strip().replace(",", "")
    sign = -1 if text.startswith("-") else 1
    parts = text.lstrip("-").split(".")
    whole = parts[0]
    cents = parts[1] if len(parts) > 1 else ""
    if not whole.isdigit() or len(parts) > 2 or len(cents) > 2:
        raise ValueError(f"not an amount: {text!r}")
    return sign * (int(whole) * 100 + int(cents.ljust(2, "0")))


def show(cents):
    """-1230 -> "-12.30"."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
