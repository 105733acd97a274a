"""`python -m distilbert` is the command line."""

from distilbert.cli.main import run

if __name__ == "__main__":
    run()
