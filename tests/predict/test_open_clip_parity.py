import json

import open_clip
import pytest
import torch
from PIL import Image

from mmcontrast.models.loading import load
from mmcontrast.predict.zero_shot import ZeroShotClassifier
from tests import checkpoints

LABELS = ["cheetah", "a tall tower", "flower"]
TEMPLATES = ["a photo of a {}.", "a drawing of the {}."]


@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
def test_probabilities_are_those_of_open_clip_on_real_photographs(tmp_path, photographs, resize_mode):
    checkpoints.save_open_clip(tmp_path)
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"interpolation": "bicubic", "resize_mode": resize_mode}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    source, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    source.eval()
    templates = [lambda label, template=template: template.replace("{}", label) for template in TEMPLATES]
    with torch.no_grad():
        tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
        classifier = open_clip.build_zero_shot_classifier(source, tokenizer, LABELS, templates)
        images = torch.stack([preprocess(Image.open(file)) for file in photographs])
        expected = source.logit_scale.exp() * source.encode_image(images, normalize=True) @ classifier
    classify = ZeroShotClassifier(
        load(f"open_clip:{tmp_path}"), LABELS, templates=TEMPLATES, device="cpu", batch_size=3
    )
    torch.testing.assert_close(classify.vectors.T, classifier, atol=1e-5, rtol=0)
    # Large JPEGs are decoded at a fraction of their size, so that pixels differ by a few levels.
    torch.testing.assert_close(classify.logits(photographs), expected, atol=0.05, rtol=0)
    spread = expected.max(0).values - expected.min(0).values
    assert spread.max() > 0.5
