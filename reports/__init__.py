"""What becomes of results: the ledger, verdicts, result documents, and what is made of them."""
