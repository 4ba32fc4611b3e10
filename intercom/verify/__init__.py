"""Whether a lake is right: its files held against its records, and its rows against the workspace. Writes nothing."""
