"""Training of every component: autoencoder, encoders, reference decoder and the two stages."""
