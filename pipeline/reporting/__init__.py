"""What a dataset holds, in figures and pictures: statistics, example rows, the HTML page, the README picture."""
