"""What is told of results: claims and their verdicts, where results come from, published sets."""
