"""``mmcontrast eval zero-shot`` and ``mmcontrast eval retrieval``."""

from typing import TYPE_CHECKING, Annotated

from typer import Option

from mmcontrast.cli.eval_options import draw_confusions, report_result
from mmcontrast.cli.options import BatchSize, Data, Device, Limit, Model, NoCache, Out, Overwrite, Templates
from mmcontrast.cli.output import output_folder
from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from mmcontrast.methods.clip import CLIP


def zero_shot(
    data: Data,
    model: Model = "clip-lite",
    classnames: Annotated[
        str | None, Option(metavar="FILE", help="File with one class name per line, or folder<TAB>name.")
    ] = None,
    templates: Templates = "simple",
    out: Out = None,
    overwrite: Overwrite = False,
    batch_size: BatchSize = 64,
    limit: Limit = None,
    no_cache: NoCache = False,
    device: Device = None,
) -> int:
    """Measure classification by class names.

    The data are class folders, or shards with KEY.cls. The metrics are top1, top5 and per_class. With --out also
    confusion.png.

      mmcontrast eval zero-shot --data val/ --templates openai80
    """
    folder = output_folder(out, overwrite)

    from mmcontrast.evals import zero_shot as evaluation

    clip = _load(model, device)
    result = evaluation.zero_shot(
        clip, data, classnames, templates, batch_size, limit, cache=not no_cache, progress=True
    )
    if folder:
        draw_confusions(result, folder, f"Zero-shot, {result.counts['num_images']} images")
    return report_result(model, data, result, folder)


def retrieval(
    data: Data,
    model: Model = "clip-lite",
    out: Out = None,
    overwrite: Overwrite = False,
    batch_size: BatchSize = 64,
    limit: Limit = None,
    no_cache: NoCache = False,
    device: Device = None,
) -> int:
    """Measure retrieval between images and captions.

    The data are shards (KEY.jpg with KEY.txt or KEY.json) or a caption file. The metrics are the recall at 1, 5 and
    10: i2t_r1 and so on from image to text, t2i_r1 and so on from text to image. Images without a caption are left
    out.

      mmcontrast eval retrieval --data flickr8k/dev.tar
    """
    folder = output_folder(out, overwrite)

    from mmcontrast.evals import retrieval as evaluation

    result = evaluation.retrieval(_load(model, device), data, batch_size, limit, cache=not no_cache, progress=True)
    return report_result(model, data, result, folder)


def _load(model: str, device: str | None) -> "CLIP":
    from mmcontrast.inference.device import choose_device
    from mmcontrast.methods.clip import CLIP
    from mmcontrast.models import loading

    chosen = choose_device(device)
    method = loading.load(model)
    if not isinstance(method, CLIP):
        raise InputError(f"model {model} has no text tower; give a CLIP, such as clip-lite")
    return method.to(chosen)
