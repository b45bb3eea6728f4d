"""Videos with class labels: lists, folders, frames, augmentation."""
