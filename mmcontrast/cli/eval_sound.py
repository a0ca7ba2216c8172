"""``mmcontrast eval sound-probe``: features of recordings, judged by who speaks and what is said."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmcontrast.errors import InputError


def add_sound_probe(subparsers) -> None:
    """Adds the ``sound-probe`` subcommand."""
    parser = subparsers.add_parser(
        "sound-probe",
        help="linear classifiers on features of sound",
        description="Accuracy of logistic regression on the mean and deviation over time of each recording's features, "
        "as JSON. The defaults are those of the Free Spoken Digit Dataset, whose files are DIGIT_SPEAKER_TAKE.wav and "
        "whose takes 0 to 4 are for the test.",
        epilog="example: mmcontrast eval sound-probe --data data/fsdd --model runs/cpc_fsdd",
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of WAV files")
    parser.add_argument("--model", default="mfcc", metavar="M", help="a SoundCPC run or export, random:NAME, or mfcc")
    parser.add_argument("--label", default="speaker,digit", metavar="G,...", help="what to tell (default: %(default)s)")
    parser.add_argument("--test", default="take=0,1,2,3,4", metavar="G=V,...", help="test set (default: %(default)s)")
    parser.add_argument("--only", action="append", default=[], metavar="G=V,...", help="leave out other recordings")
    parser.add_argument("--pattern", metavar="RE", help="of the file names; its named groups are the G")
    parser.add_argument("--rate", type=int, default=16000, metavar="HZ", help="samples a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the part that chooses C (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="folder for metrics.json (default: runs/eval-sound-probe)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_sound_probe)


def run_sound_probe(args: argparse.Namespace) -> int:
    """Prints the result and writes it; returns 0."""
    from mmcontrast.data.datasets.audio import Sounds
    from mmcontrast.encoders.audio import WaveEncoder
    from mmcontrast.evals.sound_probe import Model, sound_probe
    from mmcontrast.inference.device import choose_device
    from mmcontrast.models.loading import load_encoder
    from mmcontrast.ops.mfcc import mfcc

    labels = args.label.split(",")
    named = {"pattern": args.pattern} if args.pattern else {}
    only = dict(map(_choice, args.only)) or None
    sounds = Sounds(args.data, rate=args.rate, label=labels[0], only=only, **named)
    model: Model = lambda sound: mfcc(sound, args.rate)
    if args.model != "mfcc":
        encoder: object = load_encoder(args.model)
        if not isinstance(encoder, WaveEncoder):
            raise InputError(f"{args.model} hears nothing: its encoder is {type(encoder).__name__}, not WaveEncoder")
        model = encoder.to(choose_device(args.device))
    result = sound_probe(sounds, model, labels, dict([_choice(args.test)]), args.seed)
    text = json.dumps({"model": args.model, "data": args.data, **result}, indent=2)
    print(text)
    out = Path(args.out or "runs/eval-sound-probe")
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return 0


def _choice(text: str) -> tuple[str, Sequence[str]]:
    group, equals, values = text.partition("=")
    if not equals:
        raise InputError(f"{text}: wanted GROUP=VALUE,..., such as take=0,1")
    return group, values.split(",")
