import pytest
import torch
import torch.nn.functional as F

from mmcontrast.encoders import PatchGrid, TinyConv, ViT, WaveEncoder
from mmcontrast.errors import InputError
from mmcontrast.methods import CPC, DINO, MAE, DINOv2, MoCo, MoCoV3, SimCLR, SoundCPC
from mmcontrast.ops.patches import patchify, unpatchify


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def views(count: int = 2, batch: int = 4, size: int = 16) -> dict:
    return {"views": [torch.rand(batch, 3, size, size) for _ in range(count)], "sample_key": torch.arange(batch)}


def vit() -> ViT:
    return ViT(image_size=16, patch_size=4, dim=16, depth=1, heads=2)


def test_simclr_pulls_partners_out_of_all_other_views():
    method, batch = SimCLR(TinyConv(dim=8), dim=4, temperature=0.5), views()
    z = F.normalize(method.head(method.encoder(torch.cat(batch["views"]))), dim=1)
    logits = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    expected = F.cross_entropy(logits, torch.arange(8).roll(4))
    torch.testing.assert_close(method(batch)["loss"], expected)


def test_moco_contrasts_with_the_queue_and_enqueues_last():
    method, batch = MoCo(TinyConv(dim=8), dim=4, queue_size=6, temperature=0.3), views()
    with torch.no_grad():
        for p in method.key_network.parameters():
            p.mul_(1.1)
    queue = method.queue.vectors.clone()
    q = F.normalize(method.head(method.encoder(batch["views"][0])), dim=1)
    k = F.normalize(method.key_network(batch["views"][1]), dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.3
    expected = F.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
    assert torch.equal(method.eval()(batch)["loss"], method(batch)["loss"])  # validation leaves the queue alone
    loss = method.train()(batch)["loss"]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(method.queue.vectors[:4], k)
    torch.testing.assert_close(method.queue.vectors[4:], queue[4:])
    loss.backward()


def test_moco_v3_predicts_the_other_views_keys():
    method, batch = MoCoV3(vit(), dim=4, hidden=8, temperature=0.5), views()
    q1, q2 = (F.normalize(method.predictor(method.projector(method.encoder(v))), dim=1) for v in batch["views"])
    k1, k2 = (F.normalize(method.key_network(v), dim=1) for v in batch["views"])
    target = torch.arange(4)
    expected = 2 * 0.5 * (F.cross_entropy(q1 @ k2.T / 0.5, target) + F.cross_entropy(q2 @ k1.T / 0.5, target))
    torch.testing.assert_close(method(batch)["loss"], expected)
    assert not any(p.requires_grad for p in method.encoder.net.patch_embed.parameters())


def test_moco_v3_of_a_resnet_and_of_a_transformer():
    resnet, transformer = MoCoV3(TinyConv(dim=8), dim=4, hidden=8), MoCoV3(vit(), dim=4, hidden=8)
    assert (resnet.temperature, transformer.temperature) == (1.0, 0.2)
    linear = lambda network: [m for m in network if isinstance(m, torch.nn.Linear)]
    assert (len(linear(resnet.projector)), len(linear(transformer.projector))) == (2, 3)
    assert resnet.predictor[-1].bias is None  # no last batch norm and no bias
    assert isinstance(transformer.predictor[-1], torch.nn.BatchNorm1d)
    assert not transformer.predictor[-1].affine


def test_moco_v3_normalizes_each_view_by_itself():
    method = MoCoV3(TinyConv(dim=8), dim=4, hidden=8)
    batch = views()
    shifted = {**batch, "views": [batch["views"][0], batch["views"][1] * 0.1]}
    hidden = []
    method.projector[1].register_forward_hook(lambda module, inputs, output: hidden.append(output.clone()))
    method(shifted)
    for output in hidden:  # both views have mean 0 after a batch norm, however far they are apart
        torch.testing.assert_close(output.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    assert len(hidden) == 2


def test_dino_moves_its_center_temperature_teacher_and_last_layer():
    method = DINO(TinyConv(dim=8), prototypes=6, hidden=8, bottleneck=4, frozen_last_layer=0.25, momentum=0.5)
    batch = views(2)
    batch["views"].append(torch.rand(4, 3, 8, 8))
    method.center.uniform_()
    center = method.center.clone()
    large = torch.cat(batch["views"][:2])
    t = method.teacher_head(method.teacher(large))
    probabilities = ((t - center) / 0.04).softmax(1).chunk(2)
    student = [F.log_softmax(method.head(method.student(v)) / 0.1, 1) for v in batch["views"]]
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2)]
    expected = sum(-(probabilities[i] * student[j]).sum(1).mean() for i, j in pairs) / 4
    out = method(batch)
    torch.testing.assert_close(out["loss"], expected)
    torch.testing.assert_close(method.center, 0.9 * center + 0.1 * t.mean(0))
    out["loss"].backward()
    method.before_step(0.2)
    assert method.head.prototypes.grad is None  # none, so that Adam's bias correction waits too
    method.after_step(0.15)
    assert method.temperature == pytest.approx(0.055)
    method.after_step(0.5)
    assert method.temperature == pytest.approx(0.07)
    method(batch)["loss"].backward()
    method.before_step(0.25)
    assert method.head.prototypes.grad is not None
    assert method.encoder is method.teacher


def test_dinos_teacher_moves_with_the_momentum_of_its_step():
    method = DINO(TinyConv(dim=8), prototypes=6, hidden=8, bottleneck=4, momentum=0.5)
    with torch.no_grad():
        method.head.prototypes.add_(1)
    before = method.teacher_head.prototypes.clone()
    method.before_step(0.0)
    method.after_step(0.5)
    torch.testing.assert_close(method.teacher_head.prototypes, before + 0.5)  # the schedule's value at step 0


def test_dinos_prototypes_begin_as_long_as_those_of_its_code():
    prototypes = DINO(TinyConv(dim=8), prototypes=512, hidden=8, bottleneck=256).head.prototypes
    assert prototypes.norm(dim=1).mean().item() == pytest.approx(3**-0.5, rel=0.01)


def test_an_optimizer_leaves_dinos_frozen_last_layer_alone():
    method = DINO(TinyConv(dim=8), prototypes=6, hidden=8, bottleneck=4, frozen_last_layer=0.5)
    optimizer = torch.optim.AdamW(method.parameters(), weight_decay=1.0)
    method(views(2))["loss"].backward()
    before = method.head.prototypes.clone()
    method.before_step(0.0)
    optimizer.step()
    assert torch.equal(method.head.prototypes, before)
    assert method.head.prototypes not in optimizer.state


def test_dinov2_without_masks_and_koleo_is_dino():
    options = {"prototypes": 6, "hidden": 8, "bottleneck": 4, "frozen_last_layer": 0.0}
    method = DINOv2(vit(), centering="softmax", mask_probability=0.0, koleo_weight=0.0, **options)
    simple, batch = DINO(vit(), **options), views(3)
    own = ("patch_head", "patch_center", "teacher_patch_head", "mask_token")
    simple.load_state_dict({k: v for k, v in method.state_dict().items() if not k.startswith(own)})
    out, expected = method(batch), simple(batch)
    torch.testing.assert_close(out["loss"], expected["loss"])
    torch.testing.assert_close(method.center, simple.center)
    assert out["ibot"] == out["koleo"] == method.patch_center.abs().sum() == 0
    out["loss"].backward()
    assert method.mask_token.grad is not None  # several GPUs want a gradient even so


def test_dinov2_teaches_hidden_patches():
    options = {"prototypes": 6, "hidden": 8, "bottleneck": 4, "mask_probability": 1.0, "centering": "softmax"}
    method, batch = DINOv2(vit(), **options), views(2)
    out = method(batch)
    torch.testing.assert_close(out["loss"].detach(), out["dino"] + out["ibot"] + 0.1 * out["koleo"])
    assert method.patch_center.abs().sum() > 0
    out["loss"].backward()
    assert method.mask_token.grad.abs().sum() > 0
    assert all(p.grad is None for p in method.teacher.parameters())


def test_koleo_refuses_a_batch_of_one():
    with pytest.raises(InputError, match="KoLeo"):
        DINOv2(vit(), prototypes=6, hidden=8, bottleneck=4)(views(2, batch=1))


def test_mae_sees_only_what_it_keeps_and_shows_images():
    method = MAE(vit(), decoder_dim=16, decoder_depth=1, decoder_heads=2).eval()
    image = torch.rand(3, 3, 16, 16)
    seen, whole = method.reconstruct(image)
    assert seen.shape == whole.shape == image.shape
    hidden = (patchify(seen, 4) == 0.5).all(-1)  # (B, N)
    assert (hidden.sum(1) == 12).all()
    torch.testing.assert_close(patchify(whole, 4)[~hidden], patchify(image, 4)[~hidden])
    noise = torch.where(hidden[..., None], torch.rand(3, 16, 48), patchify(image, 4))
    other = unpatchify(noise, 4, 16, 16)
    key = torch.arange(3)
    torch.testing.assert_close(method._predict(other, key, 0.75)[0], method._predict(image, key, 0.75)[0])
    with pytest.raises(InputError, match="cannot be cut into patches"):
        method.reconstruct(torch.rand(1, 3, 18, 16))
    with pytest.raises(InputError, match="mask_ratio"):
        MAE(vit(), mask_ratio=1.0)


def test_mae_predicts_pixels_normalized_by_channel_and_then_by_patch():
    method, image, key = (
        MAE(vit(), decoder_dim=16, decoder_depth=1, decoder_heads=2),
        torch.rand(3, 3, 16, 16),
        [4, 5, 6],
    )
    prediction, hidden = method._predict(image, torch.tensor(key), 0.75)
    patches = patchify((image - method.vit.mean) / method.vit.std, 4)
    target = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
    expected = (prediction - target)[hidden].square().mean()
    torch.testing.assert_close(method({"image": image, "sample_key": torch.tensor(key)})["loss"], expected)
    norms = [m for m in method.decoder.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {1e-6}
    assert len(norms) == 3


def test_the_context_of_a_row_knows_nothing_of_the_rows_below():
    method = CPC(PatchGrid(TinyConv(dim=6), 4, 2, 16), context_layers=3)
    z = torch.randn(1, 6, 7, 7, requires_grad=True)
    c = z
    for layer in method.context:
        c = layer(c)
    c[:, :, 3].sum().backward()
    seen = z.grad.abs().sum((0, 1, 3)) > 0
    assert seen.tolist() == [True] * 4 + [False] * 3


def test_sound_contexts_know_the_past_only_and_predict_the_future():
    method = SoundCPC(WaveEncoder(channels=6, dim=5, kernels=(8, 4), strides=(5, 4)), steps=2)
    assert WaveEncoder(channels=2, dim=2).stride == 160
    sound = torch.rand(3, 400)
    z = method.encoder.frames(sound)
    c = method.encoder.context(z)
    losses = []
    for k, linear in zip((1, 2), method.future.predict, strict=True):
        guess, truth = linear(c[:, :-k]).flatten(0, 1), z[:, k:].flatten(0, 1)
        losses.append(F.cross_entropy(guess @ truth.T, torch.arange(len(guess))))
    torch.testing.assert_close(method({"sound": sound})["loss"], torch.stack(losses).mean())
    changed = z.detach().clone()
    changed[:, 5:] += 1
    torch.testing.assert_close(method.encoder.context(changed)[:, :5], c[:, :5])
    assert method.encoder(sound).shape == (3, 5)
    with pytest.raises(InputError, match="longer sounds"):
        method({"sound": torch.rand(3, 30)})
