"""Lakes that live through whatever can befall a run: `make soak ONLY=survival`, in short `tests/survival`."""
