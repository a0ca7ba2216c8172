"""kNN and linear probe beside scikit-learn and lightly on the same features, on one CPU thread.

python tests/benchmarks/bench_evals.py [--train 20000] [--test 2000] [--dim 384]

The features are drawn: ten overlapping clusters.  Agreement is the share of test samples given the same class.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from lightly.utils.benchmarking import knn_predict
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from mmcontrast.evals.knn import vote
from mmcontrast.evals.logistic import fit_logistic
from mmcontrast.ops.nearest import nearest

CLASSES, K, TEMPERATURE, C = 10, 200, 0.1, 0.01


def clusters(count: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """(count, dim) features and their (count,) classes."""
    centers = torch.randn(CLASSES, dim, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(CLASSES, (count,), generator=generator)
    return 0.15 * centers[label] + torch.randn(count, dim, generator=generator), label


def timed(work: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """Median CPU seconds of this thread after one run to warm up, and the classes found."""
    found, seconds = work(), []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return statistics.median(seconds), found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    (x, y), (z, target) = clusters(args.train, args.dim, 1), clusters(args.test, args.dim, 2)
    bank, queries = F.normalize(x, dim=1), F.normalize(z, dim=1)

    def our_knn() -> Tensor:
        cosine, places = nearest(queries, bank, K)
        return vote(cosine, y[places], CLASSES, TEMPERATURE, [K])[K].argmax(1)

    def lightly_knn() -> Tensor:
        return knn_predict(queries, bank.T.contiguous(), y, CLASSES, K, TEMPERATURE)[:, 0]

    def sklearn_knn() -> Tensor:
        weigh = lambda distance: torch.from_numpy((1 - distance) / TEMPERATURE).exp().numpy()
        model = KNeighborsClassifier(K, weights=weigh, algorithm="brute", metric="cosine", n_jobs=1)
        return torch.from_numpy(model.fit(bank.numpy(), y.numpy()).predict(queries.numpy()))

    def our_probe() -> Tensor:
        return fit_logistic(x, y, CLASSES, C)(z).argmax(1)

    def sklearn_probe() -> Tensor:
        model = LogisticRegression(C=C, max_iter=1000, tol=1e-4)
        return torch.from_numpy(model.fit(x.numpy(), y.numpy()).predict(z.numpy()))

    print(f"{args.train} training and {args.test} test samples of {args.dim} features, {CLASSES} classes.\n")
    print("| task | against | ours | theirs | ours / theirs | agreement | accuracy |\n|---|---|---|---|---|---|---|")
    rows = [
        (f"kNN, k = {K}", our_knn, (("lightly", lightly_knn), ("scikit-learn", sklearn_knn))),
        (f"logistic regression, C = {C:g}", our_probe, (("scikit-learn", sklearn_probe),)),
    ]
    for task, our, peers in rows:
        seconds, found = timed(our, args.repeats)
        for name, their in peers:
            their_seconds, their_found = timed(their, args.repeats)
            same = (found == their_found).float().mean().item()
            accuracy = (found == target).float().mean().item()
            times = f"{seconds:.2f} s | {their_seconds:.2f} s | {seconds / their_seconds:.2f}"
            print(f"| {task} | {name} | {times} | {same:.1%} | {accuracy:.1%} |", flush=True)
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, medians.")


if __name__ == "__main__":
    main()
