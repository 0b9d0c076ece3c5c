"""The parts of scripts/launch. They need Python 3.8 and nothing else, so that any machine can run them."""
