"""Losses as pure functions of tensors: fp32 inside, no state, no rank, no configuration."""

from mmcontrast.losses.contrastive import clip_loss as clip_loss
from mmcontrast.losses.contrastive import info_nce as info_nce
from mmcontrast.losses.contrastive import mutual_information_bound as mutual_information_bound
from mmcontrast.losses.contrastive import nt_xent as nt_xent
from mmcontrast.losses.contrastive import siglip_loss as siglip_loss
from mmcontrast.losses.distill import dino_loss as dino_loss
from mmcontrast.losses.distill import koleo as koleo
from mmcontrast.losses.distill import patch_loss as patch_loss
from mmcontrast.losses.distill import sinkhorn as sinkhorn
from mmcontrast.losses.reconstruct import color_bins as color_bins
from mmcontrast.losses.reconstruct import masked_patches as masked_patches
from mmcontrast.losses.reconstruct import painted_hole as painted_hole
from mmcontrast.losses.reconstruct import real_or_painted as real_or_painted
