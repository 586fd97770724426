"""Views of a run in other layouts: tar files of WebDataset, folders of images."""
