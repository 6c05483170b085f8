"""From guessed to measured: `guardian tune` on the game service of examples/game, and proof that its answer is one."""
