"""Several processes share the work of one training step; on one GPU, or with one worker, just this process.

    main                                   each helper
    rows of its share, total of places ->  gradient of its rows into its row of the shared table
    sum over the table, clip           <-  loss
    rate                               ->  its share of the matrices is stepped
    its own share of the matrices      <-  done

Weights, gradients and the optimizer's state lie in shared memory; the messages say whose turn it is. On a
machine in use this is twice as fast as threads: threads wait for each other at every operation, these
processes three times a step. Sums have a fixed order, so that a run can be repeated bit by bit.
"""

import multiprocessing
import signal

import torch
from torch.nn import functional as F


class Workers:
    """Owns the helpers from construction to close(); must be made before torch has started threads."""

    def __init__(self, model, optimizer, autocast, n, threads):
        self.model, self.optimizer, self.autocast, self.n = model, optimizer, autocast, n
        self.helpers = []
        if n > 1:
            self.share_memory()
            context = multiprocessing.get_context("fork")
            for i in range(1, n):
                ours, theirs = context.Pipe()
                process = context.Process(target=self.help, args=(i, theirs, threads), daemon=True)
                self.helpers.append((process, ours))
                process.start()
                theirs.close()
        torch.set_num_threads(threads)

    def share_memory(self):
        """Weights where they are; gradients as rows of one table, cut like the weights."""
        parameters = list(self.model.parameters())
        for tensor in [p.data for p in parameters] + self.optimizer.tensors():
            tensor.share_memory_()
        sizes = [p.numel() for p in parameters]
        self.table = torch.zeros(self.n, sum(sizes)).share_memory_()
        self.cuts = [[piece.view_as(p) for piece, p in zip(row.split(sizes), parameters)]
                     for row in self.table]

    def loss(self, batch, n_places):
        """The share of this batch in the mean loss of all places; its gradient is left in the weights."""
        for p in self.model.parameters():
            p.grad = None
        with self.autocast():
            logits = self.model(batch.tokens, batch.owner, batch.position, batch.at)
        loss = F.cross_entropy(logits.float(), batch.target, reduction="sum") / n_places
        loss.backward()
        return loss.item()

    def to_table(self, i):
        for place, p in zip(self.cuts[i], self.model.parameters()):
            place.copy_(p.grad)

    def from_table(self):
        for place, p in zip(self.cuts[0], self.model.parameters()):
            p.grad = place

    def help(self, i, pipe, threads):
        """A helper's life: ends when the main process closes the pipe or ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _, ours in self.helpers:
            ours.close()
        torch.set_num_threads(threads)
        try:
            while True:
                batch, n_places = pipe.recv()  # EOFError: no more work
                loss = self.loss(batch, n_places)
                self.to_table(i)
                pipe.send(loss)
                rate = pipe.recv()
                self.from_table()
                self.optimizer.step(rate, i, self.n)
                pipe.send(None)
        except EOFError:
            pass

    def step(self, batches, n_places, rate):
        """One step over n batches; the mean loss per place."""
        for (_, pipe), batch in zip(self.helpers, batches[1:]):
            pipe.send((batch, n_places))
        loss = self.loss(batches[0], n_places)
        if self.helpers:
            self.to_table(0)
            for i, (_, pipe) in enumerate(self.helpers, 1):
                loss += pipe.recv()
                self.table[0] += self.table[i]
            self.from_table()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for _, pipe in self.helpers:
            pipe.send(rate)
        self.optimizer.step(rate, 0, self.n)
        for _, pipe in self.helpers:
            pipe.recv()
        return loss

    def close(self):
        for process, pipe in self.helpers:
            pipe.close()
            process.join()
        self.helpers = []
