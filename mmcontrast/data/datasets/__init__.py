"""What training and evaluation iterate over."""
