"""HOI4D (Liu et al., CVPR 2022) as it is released: videos, motion segmentation and action annotations."""
