"""`python -m radsnap` is `radsnap`."""

from radsnap.cli.app import main

if __name__ == "__main__":
    main()
