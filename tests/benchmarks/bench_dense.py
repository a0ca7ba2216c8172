"""Dense descriptors on one 640x480 pair, one thread: finding correspondences, the non-match loss, a heat-map query.

Each is also measured as the public code does it (https://github.com/RobotLocomotion/pytorch-dense-correspondence),
rewritten here from its steps: tensors of pairs, one row each, and gathers from an image of descriptors.
"""

import platform
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from mmcontrast.data.augment.pixel_sampling import draw_non_matches
from mmcontrast.encoders import TinyConv
from mmcontrast.losses.dense import non_match_loss
from mmcontrast.methods import DenseObjectNet
from mmcontrast.predict.match import DescriptorMatcher

HEIGHT, WIDTH, MATCHES, NON_MATCHES = 480, 640, 5000, 100


def cpu_ms(call: Callable[[], object], repeats: int = 9) -> float:
    """Median CPU time of one call in milliseconds, after one call to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1000 * median(times)


def object_mask() -> Tensor:
    """(H, W) bool, a fifth of the image."""
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[120:340, 150:430] = True
    return mask


def public_sampling(mask: Tensor, match_b: Tensor) -> Tensor:
    """Half of the non-matches on the mask, half off it, as in create_non_correspondences."""
    halves = []
    for allowed in (mask, ~mask):
        rows = allowed.flatten().float().nonzero().squeeze(1)
        count = MATCHES * NON_MATCHES // 2
        chosen = rows.index_select(0, (torch.rand(count) * len(rows)).floor().long())
        u, v = (chosen % WIDTH).float(), (chosen // WIDTH).float()
        of_match = match_b.repeat_interleave(NON_MATCHES // 2, 0)
        du, dv = (of_match[:, 0] - u).abs(), (of_match[:, 1] - v).abs()
        close = (du < 1) | (dv < 1)
        halves.append(((u + 10 * close) % WIDTH) + WIDTH * ((v + 10 * close) % HEIGHT))
    return torch.cat(halves)


def public_loss(anchor: Tensor, image_b: Tensor, non_match: Tensor) -> Tensor:
    """Rows for every pair, as in non_match_descriptor_loss."""
    dim = anchor.shape[2]
    image = image_b.view(1, dim, -1).permute(0, 2, 1)  # (1, H W, D)
    a = anchor.repeat_interleave(NON_MATCHES, 1)
    b = image.index_select(1, non_match.flatten())
    hinge = torch.clamp(0.5 - (a - b).norm(2, 2), min=0).pow(2)
    return hinge.sum() / hinge.nonzero().shape[0]


def loss_steps(dim: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Forward and backward of the non-match loss from descriptors to their gradients: ours, the public one."""
    g = torch.Generator().manual_seed(0)
    anchor = torch.randn(1, MATCHES, dim, generator=g).mul_(0.2).requires_grad_()
    image_b = torch.randn(1, dim, HEIGHT, WIDTH, generator=g).mul_(0.2).requires_grad_()
    non_match = torch.randint(0, HEIGHT * WIDTH, (1, MATCHES, NON_MATCHES), generator=g)
    counts = torch.ones(1, MATCHES, dtype=torch.bool)
    ours, public = (
        lambda: non_match_loss(anchor, image_b, non_match, counts)[0].sum(),
        lambda: public_loss(anchor, image_b, non_match),
    )
    torch.testing.assert_close(ours(), public())

    def step(loss: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(loss(), [anchor, image_b])

    return step(ours), step(public)


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    mask, key = object_mask(), torch.tensor([1])
    match_b = torch.rand(MATCHES, 2) * torch.tensor([WIDTH - 1.0, HEIGHT - 1.0])
    share = torch.tensor([0.5])
    sampling = cpu_ms(lambda: draw_non_matches(mask[None], share, match_b[None], key, NON_MATCHES, 5.0))
    rows = [("drawing non-matches", sampling, cpu_ms(lambda: public_sampling(mask, match_b)), 6)]
    for dim, target in ((3, 14), (16, 59)):
        ours, public = loss_steps(dim)
        rows.append((f"non-match loss, D = {dim}, forward + backward", cpu_ms(ours), cpu_ms(public), target))
    matcher = DescriptorMatcher(DenseObjectNet(TinyConv(), dim=16), device="cpu")
    image = torch.randint(0, 255, (3, HEIGHT, WIDTH), dtype=torch.uint8)
    matcher.set_reference(image)
    rows.append(("heat map of a point, D = 16", cpu_ms(lambda: matcher.heatmap(image, (100, 100))), None, 10))
    print(f"| {MATCHES} matches x {NON_MATCHES} non-matches, {WIDTH} x {HEIGHT} | ms | public code's steps, ms | aim |")
    print("|---|---|---|---|")
    for name, own, public, target in rows:
        print(f"| {name} | {own:.1f} | {'-' if public is None else f'{public:.1f}'} | {target} |")
    print(f"\nCPU time, one thread, {platform.processor() or platform.machine()}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
