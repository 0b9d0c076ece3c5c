"""``python -m sgmcmc_mx`` is the console command ``sgmcmc-mx``."""
from .command import main

if __name__ == "__main__":
    main()
