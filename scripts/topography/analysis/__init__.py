"""What is read off trained networks and paths: sets, pairs, barriers, spreads, components."""
