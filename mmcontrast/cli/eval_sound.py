"""``mmcontrast eval sound-probe``: features of recordings, judged by speakers and words."""

from collections.abc import Sequence
from typing import Annotated, Any

from typer import Option

from mmcontrast.cli.eval_options import report_result
from mmcontrast.cli.options import Data, Device, Out, Overwrite, Seed, split
from mmcontrast.cli.output import output_folder
from mmcontrast.errors import InputError


def sound_probe(
    data: Data,
    model: Annotated[
        str,
        Option(metavar="MODEL", help="Run or export of SoundCPC, random:NAME for random weights, or mfcc for cepstra."),
    ] = "mfcc",
    labels: Annotated[str, Option(metavar="GROUP,...", help="Groups of the names to classify by.")] = "speaker,digit",
    test_group: Annotated[
        str, Option(metavar="GROUP=VALUE,...", help="Values of a group that put a recording into the test set.")
    ] = "take=0,1,2,3,4",
    only: Annotated[
        list[str] | None,
        Option(metavar="GROUP=VALUE,...", help="Values of a group; recordings with others are left out."),
    ] = None,
    pattern: Annotated[
        str | None,
        Option(metavar="REGEX", help="Pattern of the file names, whose named groups are the groups."),
    ] = None,
    rate: Annotated[int, Option(metavar="HZ", min=1, help="Samples per second that recordings are resampled to.")] = (
        16000
    ),
    out: Out = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    device: Device = None,
) -> int:
    """Measure linear classifiers on features of sound.

    The features are the mean and standard deviation over time of each recording. The metric is top1 for each label.
    The defaults are those of the Free Spoken Digit Dataset, whose files are DIGIT_SPEAKER_TAKE.wav.

      mmcontrast eval sound-probe --data data/fsdd --model runs/cpc_fsdd
    """
    folder = output_folder(out, overwrite)
    names = split(labels)
    selected = dict(map(_group, only or [])) or None
    test = dict([_group(test_group)])

    from mmcontrast.data.datasets.audio import Sounds
    from mmcontrast.evals import sound_probe as evaluation

    options: dict[str, Any] = {"pattern": pattern} if pattern else {}
    sounds = Sounds(data, rate=rate, label=names[0], only=selected, **options)
    result = evaluation.sound_probe(sounds, _model(model, rate, device), names, test, seed)
    return report_result(model, data, result, folder)


def _model(model: str, rate: int, device: str | None) -> Any:
    from mmcontrast.encoders.audio import WaveEncoder
    from mmcontrast.inference.device import choose_device
    from mmcontrast.models.loading import load_encoder
    from mmcontrast.ops.mfcc import mfcc

    if model == "mfcc":
        return lambda sound: mfcc(sound, rate)
    encoder: object = load_encoder(model)
    if not isinstance(encoder, WaveEncoder):
        raise InputError(
            f"{model} is no model of sound: its encoder is {type(encoder).__name__}; wanted one trained by SoundCPC"
        )
    return encoder.to(choose_device(device))


def _group(text: str) -> tuple[str, Sequence[str]]:
    """Returns the group and the values of GROUP=VALUE,..."""
    group, equals, values = text.partition("=")
    if not equals:
        raise InputError(f"{text}: wanted GROUP=VALUE,..., such as take=0,1")
    return group, split(values)
