"""The run: recordings to clips in many processes, what is known of them in a ledger, and the finished clip set."""
