"""PSNR, SSIM, IoU, Frechet distance."""
