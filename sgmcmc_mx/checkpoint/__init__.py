"""What the next step of a run depends on: taken, written, and gone on from."""
