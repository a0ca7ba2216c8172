"""What trained models are for: classifiers, trackers and matchers on a user's own files."""
