"""Commands of the simulator; they join the command line by the entry-point group `guardian.commands`."""
