"""The videos that are served, and files made of them or put beside them."""
