"""A lake as one page of HTML, made from its files alone: what is in it, how fresh it is, and how its runs went."""
