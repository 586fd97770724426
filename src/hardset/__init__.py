"""hardset makes hardened image training sets: adversarial, GAN-sampled and augmented rows as Parquet."""
