"""Files to arrays and back: images, videos, masks, archives and folders."""
