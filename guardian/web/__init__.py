"""HTTP: events, alerts and samples in; rollouts, decisions and metrics out. Decides nothing, stores nothing."""
