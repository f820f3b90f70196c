"""What a run asks before and beside its jobs: settings, code, cost, and what could go wrong."""
