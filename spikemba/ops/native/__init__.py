"""C kernels for the CPU, compiled on first use; everything in them also exists in plain PyTorch."""
