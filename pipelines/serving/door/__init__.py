"""Who may ask, how much and how long, before a call is looked at."""
