"""Data: rows with handles of images, read from many layouts, and their labelling.

`source` reads a data set into `rows`; `labelling` uses rollouts to find which rows need the
original image.
"""
