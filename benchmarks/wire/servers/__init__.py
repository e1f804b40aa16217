"""What runs on the server's side: the peers, each a small program that does none of our work, and our bots.

They run in the peers' interpreter, or in the measured server, and import nothing of the benchmark's but
`frames`.
"""
