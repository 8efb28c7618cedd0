"""What the command line takes for a text."""

from textrnn import load_sampler
from textrnn.cli import main


def test_train_and_evaluate_in_another_encoding(tmp_path, capsys):
    """``--encoding`` reads what the message without it advises."""
    path, model = tmp_path / "w.txt", str(tmp_path / "m")
    path.write_bytes("déjà vu\r\n".encode("cp1252") * 60)
    arguments = ["train", str(path), "-o", model, "--model", "ngram", "--order", "3"]
    assert main(arguments) == 1
    assert "--encoding cp1252" in capsys.readouterr().err
    assert main([*arguments, "--encoding", "cp1252"]) == 0
    assert set(load_sampler(model).vocab) == set("déjà vu\n")
    assert main(["evaluate", model, str(path), "--encoding", "cp1252"]) == 0
    assert main(["evaluate", model, str(path), "--encoding", "cp12525"]) == 1
    assert "unknown encoding: cp12525" in capsys.readouterr().err
