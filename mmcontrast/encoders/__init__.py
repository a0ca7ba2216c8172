"""Image and text encoders behind one interface, importable by short name."""
