"""One evaluation for every encoder: features once, then metrics checked against hand-computed cases."""
