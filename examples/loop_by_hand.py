"""What fit does, written out: a plain PyTorch loop over textrnn's vocabulary, batches and model."""

import sys

import torch
import torch.nn.functional as F

from textrnn import ContiguousBatcher, LSTMModel, Vocab
from textrnn.datasets import load_python_docs
from textrnn.evaluation import evaluate
from textrnn.models.base import detach

quick = "--quick" in sys.argv
text = load_python_docs()[: 40_000 if quick else None]
cut = int(0.9 * len(text))

vocab = Vocab.from_text(text)
ids = vocab.encode(text)  # (N,) uint8
torch.manual_seed(0)
model = LSTMModel(len(vocab), hidden_size=128)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
batches = ContiguousBatcher(torch.from_numpy(ids[:cut]).long(), batch_size=32, seq_len=64)

for epoch in range(1 if quick else 4):
    state, total = None, 0.0
    for x, y in batches:  # (32, 64) each; row r continues row r of the last batch
        logits, state = model(x, detach(state))  # (32, 64, V)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item() / len(batches)
    valid = evaluate(model, ids[cut:])
    print(f"epoch {epoch + 1}  loss {total:.3f}  val_loss {valid['loss']:.3f} nats per character")
