"""What a compression did, as a page to look at."""
