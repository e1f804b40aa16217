"""The `actors` runtime beside triotp and Pykka: how fast each is, and how each takes trouble."""
