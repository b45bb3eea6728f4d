"""SpikeMba: contextual moment reasoner, spiking saliency detector, multi-modal relevant Mamba, heads."""
