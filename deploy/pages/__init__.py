"""The reference pages that are printed from code: ``python -m deploy.pages`` writes them, a test compares them."""
