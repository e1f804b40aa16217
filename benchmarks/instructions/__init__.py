"""What a message costs in instructions: the same on a busy machine as on an idle one."""
