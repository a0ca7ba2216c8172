"""The commands of the program ``mmcontrast``.

A command is a typed function. Its parameters are the options, its docstring is the help text, and the function is
imported when the command is called. To add ``mmcontrast eval NAME``:

1. Write the function in a module of this folder. Only light modules may be imported at its top (the standard library,
   ``options``, ``report``, ``output``, ``mmcontrast.errors``); torch and the like are imported in the function, so
   that ``--help`` stays fast::

       def knn(train_data: TrainData, test_data: TestData, model: Model = "clip-lite", out: Out = None, ...) -> int:
           \"\"\"Measure the votes of the nearest training images.

           A second paragraph says what is computed, and what the metrics are called.

             mmcontrast eval knn --train-data train/ --test-data test/
           \"\"\"
           from mmcontrast.evals.knn import evaluate_knn

           folder = output_folder(out, overwrite)  # None without --out
           result = evaluate_knn(...)
           if folder:
               draw_accuracy(result, folder / "accuracy.png")
           return report(model=model, data={"train": train_data, "test": test_data}, metrics=..., counts=..., out=...)

2. Take the options that ``options.py`` has from there: one name has one meaning and one help sentence everywhere. An
   option of the command alone is ``Annotated[int, Option(metavar="N", min=1, help="Number of neighbors.")]``. Each help
   text is a full sentence or phrase that begins with a capital and ends with a period. Flags name themselves, as in
   ``Option("--masked", help=...)``, so that there is no ``--no-masked``.
3. Lists of numbers and names have commas between them (``options.numbers``, ``options.split``). Options that take a
   path or a point are repeated: ``Annotated[list[str], Option(...)]``.
4. Write files only to ``output_folder(out, overwrite)``: ``folder / "name.png"`` claims a name and returns its path.
   The folder refuses to hold the results of two runs.
5. Print nothing on stdout. ``report(...)`` prints the one JSON object there, writes ``metrics.json``, adds the values
   of the options as ``settings``, and returns the exit code. Say everything else with ``terminal.say``; progress bars
   and tables go to stderr.
6. Raise ``InputError`` for what the user can mend: exit code 2. An input that cannot be used among others is a row
   with an error, and ``counts["errors"]``: exit code 1.
7. Add one line to the targets of the group (``eval.py``, ``predict.py`` or ``main.py``). The conformance tests find
   the command by themselves.
"""
