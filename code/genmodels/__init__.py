"""genmodels: the code behind the report (PixelCNN on MNIST; Persian language models).

``report.qmd`` is the product; everything here exists so that each number in it can be made again. The rooms, from those
that know least to those that know most (who may import whom: ``tests/test_house.py``):

    system     the machine: files, places, processes, precision, time; no model, no Persian
    data       raw files to verified tensors and documents, and where they come from
    text       documents to tokens: cleaning, normalisation, BPE, windows
    pixelcnn   masked convolutions, the networks on images, samplers, likelihoods, quality of drawn images
    language   LSTM, Transformer, Kneser-Ney; perplexity, continuations, where attention looks
    attention  question 2.6: exact quantities, counted operations, timed growth
    training   the one loop, its optimisers, the order of examples, ranks, checkpoints; knows no model by name
    stages     what is trained, measured, shipped and verified, by name; `speed/`: what is timed
    report     what the document shows, a module a section, tables and figures together
    checks     what only the document can contradict, a module a part of the assignment
    render     the document by Quarto or without it, its verdict, and handing it in

In the root: the command line (``__main__``), the settings of every experiment (``config``), shipped results that cannot
lie (``store``) and mistakes that a user can mend (``errors``).
"""

__version__ = "0.1.0"
