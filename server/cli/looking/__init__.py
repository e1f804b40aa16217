"""Looking into a running server: what `triologue tree`, `top`, `trace` and `stacks` are made of.

`admin` asks the server over REST and `answers` checks what it says; `join`, `rates` and `recording` work on
that, and the views turn it into what rich can print. The views are pure: data in, something to print out.
"""
