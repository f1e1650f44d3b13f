"""Both stages as in the paper: DynamiCrafter's image-to-video diffusion with 12 input channels."""
