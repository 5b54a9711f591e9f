"""`python -m visionthink`, which torchrun and accelerate can start: `-m visionthink train …`."""

from visionthink.cli.main import main

if __name__ == "__main__":
    main()
