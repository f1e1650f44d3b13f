"""Networks shared by the backbones and by training: autoencoder, text encoder, reference decoder, LPIPS."""
