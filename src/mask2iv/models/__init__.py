"""Networks that several rooms share: autoencoder, text encoder, reference decoder, LPIPS."""
