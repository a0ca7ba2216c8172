"""``mmcontrast eval knn``, ``eval probe`` and ``eval few-label``: features of an encoder, judged by labels."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from mmcontrast.cli.eval_options import (
    EncoderModel,
    Epochs,
    HeldOut,
    VoteTemperature,
    draw_confusions,
    load_encoder_on,
    report_result,
)
from mmcontrast.cli.options import (
    BatchSize,
    Device,
    Limit,
    NoCache,
    Out,
    Overwrite,
    Resolution,
    Seed,
    TestData,
    TrainData,
    numbers,
)
from mmcontrast.cli.output import OutputFolder, output_folder

if TYPE_CHECKING:
    from mmcontrast.evals.labeled_features import FeatureSettings
    from mmcontrast.evals.results import EvalResult


def knn(
    train_data: TrainData,
    test_data: TestData,
    model: EncoderModel = "clip-lite",
    k: Annotated[
        str | None,
        Option(metavar="K,...", help="Numbers of neighbors. Without it, 10,20,100,200 as far as there are images."),
    ] = None,
    temperature: VoteTemperature = 0.07,
    out: Out = None,
    overwrite: Overwrite = False,
    resolution: Resolution = None,
    batch_size: BatchSize = 64,
    limit: Limit = None,
    no_cache: NoCache = False,
    device: Device = None,
) -> int:
    """Measure the vote of the nearest training images.

    A neighbor of cosine similarity s adds exp(s / temperature) to its class. The metrics are top1 and top5 for each k.
    With --out also accuracy_by_k.png and confusion.png. The setting of lightly is --k 200 --temperature 0.1.

      mmcontrast eval knn --train-data train/ --test-data test/ --model dino
    """
    ks = numbers(k, int, "--k") if k else None
    folder = output_folder(out, overwrite)

    from mmcontrast.evals import knn as evaluation

    settings = _settings(resolution, batch_size, limit, no_cache)
    result = evaluation.knn(load_encoder_on(model, device), train_data, test_data, ks, temperature, settings)
    if folder:
        _draw_knn(result, folder)
    return report_result(model, {"train": train_data, "test": test_data}, result, folder)


def probe(
    train_data: TrainData,
    test_data: TestData,
    model: EncoderModel = "clip-lite",
    blocks: Annotated[
        str | None,
        Option(
            metavar="I,...", help="Numbers of the encoder's blocks to probe, or all. Without it, the pooled output."
        ),
    ] = None,
    protocol: Annotated[
        Literal["lbfgs", "sgd", "augmented"],
        Option(
            metavar="NAME",
            help="How the classifier learns: lbfgs (logistic regression), sgd, or augmented (SGD on random crops and "
            "mirror images, as most published figures).",
        ),
    ] = "lbfgs",
    C: Annotated[
        str | None,
        Option("--C", metavar="C,...", help="Values of C to choose from. Without it, 1e-6 to 10, two per decade."),
    ] = None,
    lr: Annotated[
        str | None,
        Option(
            metavar="LR,...",
            help="Learning rates for a batch of 256 that augmented chooses from. Without it, 0.001 to 30, two per "
            "decade.",
        ),
    ] = None,
    held_out: HeldOut = 0.2,
    epochs: Epochs = 100,
    out: Out = None,
    overwrite: Overwrite = False,
    resolution: Resolution = None,
    batch_size: BatchSize = 64,
    limit: Limit = None,
    seed: Seed = 0,
    no_cache: NoCache = False,
    device: Device = None,
) -> int:
    """Measure a linear classifier on frozen features.

    lbfgs chooses C, and augmented the learning rate, on held-out training images. The metrics are top1, top5 and
    train_top1 for each feature. With --out also confusion.png and plots of the accuracy by C, learning rate and block.

      mmcontrast eval probe --train-data train/ --test-data test/ --blocks all
      mmcontrast eval probe --train-data train/ --test-data test/ \\
        --protocol augmented --epochs 100

    Note:
        The function is long because its signature holds all options of the three protocols.
    """
    from mmcontrast.evals.augmented_probe import LR_SWEEP
    from mmcontrast.evals.linear_probe import Blocks, linear_probe
    from mmcontrast.evals.logistic import C_SWEEP

    chosen: Blocks = "all" if blocks == "all" else numbers(blocks, int, "--blocks") if blocks else None
    C_sweep = numbers(C, float, "--C") if C else C_SWEEP
    lr_sweep = numbers(lr, float, "--lr") if lr else LR_SWEEP
    folder = output_folder(out, overwrite)
    result = linear_probe(
        load_encoder_on(model, device),
        train_data,
        test_data,
        chosen,
        protocol,
        C_sweep,
        lr_sweep,
        held_out,
        epochs,
        seed,
        _settings(resolution, batch_size, limit, no_cache),
    )
    if folder:
        _draw_probe(result, folder)
    return report_result(model, {"train": train_data, "test": test_data}, result, folder)


def few_label(
    train_data: TrainData,
    test_data: TestData,
    model: EncoderModel = "clip-lite",
    fraction: Annotated[
        str | None,
        Option(metavar="F,...", help="Fractions of each class's labels to learn from. Without it, 0.01,0.1."),
    ] = None,
    per_class: Annotated[
        str | None, Option(metavar="N,...", help="Numbers of labels of each class to learn from, not fractions.")
    ] = None,
    draws: Annotated[int, Option(metavar="N", min=1, help="Number of random draws of the labels.")] = 3,
    block: Annotated[
        int | None, Option(metavar="I", help="Number of the encoder's block to use. Without it, the pooled output.")
    ] = None,
    fine_tune: Annotated[bool, Option("--fine-tune", help="Train the encoder as well.")] = False,
    epochs: Epochs = 30,
    lr: Annotated[float, Option(metavar="LR", help="Learning rate of fine-tuning.")] = 3e-4,
    out: Out = None,
    overwrite: Overwrite = False,
    resolution: Resolution = None,
    batch_size: BatchSize = 64,
    limit: Limit = None,
    no_cache: NoCache = False,
    device: Device = None,
) -> int:
    """Measure classifiers that learn from few labels.

    The metrics are the mean and the standard deviation of top-1 over the draws, with the encoder frozen and, with
    --fine-tune, trained. With --out also accuracy_by_labels.png.

      mmcontrast eval few-label --train-data train/ --test-data test/ \\
        --fraction 0.01,0.1
    """
    if fraction and per_class:
        from mmcontrast.errors import InputError

        raise InputError("--fraction and --per-class exclude each other; give one of them")
    fractions = numbers(fraction or "0.01,0.1", float, "--fraction")
    labels_per_class = numbers(per_class, int, "--per-class") if per_class else []
    folder = output_folder(out, overwrite)

    from mmcontrast.evals import few_label as evaluation

    settings = _settings(resolution, batch_size, limit, no_cache)
    encoder = load_encoder_on(model, device)
    result = evaluation.few_label(
        encoder, train_data, test_data, fractions, labels_per_class, draws, block, fine_tune, epochs, lr, settings
    )
    if folder:
        _draw_few_label(result, folder)
    return report_result(model, {"train": train_data, "test": test_data}, result, folder)


def _settings(resolution: int | None, batch_size: int, limit: int | None, no_cache: bool) -> "FeatureSettings":
    from mmcontrast.evals.labeled_features import FeatureSettings

    return FeatureSettings(resolution, batch_size, limit, cache=not no_cache, progress=True)


def _title(result: "EvalResult", name: str) -> str:
    return f"{name}, {result.counts['num_train']} training and {result.counts['num_test']} test images"


def _draw_knn(result: "EvalResult", folder: OutputFolder) -> None:
    from mmcontrast.viz.accuracy_plots import Curve, draw_curves

    per_k = {int(k): figures["top1"] for k, figures in result.metrics["per_k"].items()}
    curve = Curve(f"temperature {result.settings['temperature']:g}", list(per_k), list(per_k.values()))
    draw_curves([curve], folder / "accuracy_by_k.png", "number of neighbors k", _title(result, "kNN"))
    draw_confusions(result, folder, "kNN, {}")


def _draw_probe(result: "EvalResult", folder: OutputFolder) -> None:
    from mmcontrast.viz.accuracy_plots import Curve, draw_curves

    features: dict[str, dict[str, Any]] = result.metrics["per_feature"]
    swept = "lr" if result.settings["protocol"] == "augmented" else "C"
    sweeps = [
        Curve(name, [float(value) for value in figures["validation"]], list(figures["validation"].values()))
        for name, figures in features.items()
        if figures.get("validation")
    ]
    if sweeps:
        label = {"C": "C", "lr": "learning rate"}[swept]
        draw_curves(sweeps, folder / f"accuracy_by_{swept}.png", label, "Accuracy on held-out training images")
    if len(features) > 1:
        blocks = [int(name.split()[1]) for name in features]
        curve = Curve("test, top 1", blocks, [figures["top1"] for figures in features.values()])
        target = folder / "accuracy_by_block.png"
        draw_curves([curve], target, "block", _title(result, "Linear probe"), log=False)
    draw_confusions(result, folder, "Linear probe, {}")


def _draw_few_label(result: "EvalResult", folder: OutputFolder) -> None:
    from mmcontrast.viz.accuracy_plots import Curve, draw_curves

    (amounts,) = result.metrics.values()
    curves = []
    for name in ("frozen", "fine_tuned"):
        if points := [(amount["num_labels"], amount[name]) for amount in amounts.values() if name in amount]:
            means, deviations = [p["mean"] for _, p in points], [p["std"] or 0.0 for _, p in points]
            curves.append(Curve(name.replace("_", "-"), [count for count, _ in points], means, deviations))
    title = f"{result.counts['num_test']} test images, mean and deviation of {result.settings['num_seeds']} draws"
    draw_curves(curves, folder / "accuracy_by_labels.png", "number of labels", title)
