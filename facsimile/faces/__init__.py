"""What a face is here: Action Units, table schemas, images, and which labels are known."""
