"""What the scripts do as jobs: arguments, state kept and taken up again, an end in time."""
