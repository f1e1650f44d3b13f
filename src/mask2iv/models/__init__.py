"""Networks that several rooms share: autoencoder, text and image encoders, reference decoder, discriminator, LPIPS."""
