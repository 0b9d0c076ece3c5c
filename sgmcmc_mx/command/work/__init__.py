"""What the subcommands do, with MXNet. Each file is imported when its subcommand runs."""
