"""Who a letter reaches, and how it reads; how the whole board reads, as documents (`views`) and as a page (`screen`).
Pure: folds come in, words and facts go out.

Rule: a letter reaches a reader by an address alone, and what became of it stands in the log alone.
"""
