"""Lightning lives here and nowhere else: one Learner and one Data module drive every method."""
