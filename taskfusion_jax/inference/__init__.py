"""Using what was trained: images of any size in, images or labels out."""
