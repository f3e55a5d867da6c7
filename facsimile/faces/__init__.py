"""Faces: Action Units, table schemas, images and annotations."""
