import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.base.files import write_json
from tests.tracking import small_project

COMMANDS = ("data", "runs", "methods", "compare", "table", "restore", "gallery", "sync", "promote", "rollback", "seeds",
            "serve", "export", "best-on", "inputs", "outputs", "weights")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.build(tmp_path_factory.mktemp("cli") / "project")


@pytest.fixture
def project(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(built))
    return built


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "old.jpg"
    Image.fromarray(small_project.picture(5, 60)[:41, :57]).save(path)
    return path


HEAVY = {"torch", "mlflow", "pandas", "numpy", "great_expectations", "scipy", "pyarrow", "PIL", "prefect"}


def test_help_answers_at_once() -> None:
    """Below 0.3 s of processor time (a busy machine does not count), and nothing heavy is imported."""
    code = ("import sys\nfrom restore_ml import cli\ntry:\n cli.main(['--help'])\nexcept SystemExit: pass\n"
            f"print(sorted({HEAVY} & set(sys.modules)))")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3
    assert done.stdout.endswith("[]\n")
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in cli.GROUPS])
def test_every_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"restore-ml {command}" in capsys.readouterr().out.split("example")[1]


def test_runs_and_methods(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["bicubic", "super_resolution", "bicubic", "-", "ok"]
    assert lines[3].split()[-1] == "failed" and lines[-1] == "3 runs, profile quick."
    assert cli.main(["methods", "--task", "super_resolution"]) == 0
    assert "bicubic" in capsys.readouterr().out


def test_compare_prints_the_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare"]) == 0
    text = capsys.readouterr().out
    assert "super_resolution, photos/x2, 3 pictures" in text and "broken: failed, diverged at step 7" in text
    assert cli.main(["compare", "super_resolution", "--case", "photos/x9"]) == 2
    assert "no case 'photos/x9'; it has photos/x2" in capsys.readouterr().err
    assert cli.main(["compare", "inpainting"]) == 2


def test_gallery(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gallery", "--out", str(tmp_path), "--pictures", "1"]) == 0
    assert (tmp_path / "index.html").exists() and "1 tasks" in capsys.readouterr().out
    assert cli.main(["gallery", "--pictures", "0"]) == 2


@pytest.mark.parametrize("form", [".png", ".jpg"])
def test_restore_with_a_run(project: Path, photo: Path, tmp_path: Path, form: str,
                            capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / f"new{form}"
    assert cli.main(["restore", "--task", "super_resolution", str(photo), "-o", str(out), "--model", "vdsr"]) == 0
    assert Image.open(out).size == (114, 82) and Image.open(out).mode == "RGB"
    assert "restored with vdsr" in capsys.readouterr().out


def test_restoring_loads_no_more_than_it_needs(project: Path, photo: Path, tmp_path: Path) -> None:
    """Tables, tracking, contracts and scipy are for others; they would cost more than torch."""
    code = ("import sys\nfrom restore_ml import cli\n"
            f"cli.main(['restore', '--task', 'super_resolution', {str(photo)!r}, '-o', {str(tmp_path / 'new.png')!r}, "
            "'--model', 'vdsr'])\n"
            "print(sorted({'mlflow', 'pandas', 'great_expectations', 'scipy', 'skimage', 'prefect', 'matplotlib', "
            "'onnxruntime'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n") and (tmp_path / "new.png").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_restore_says_its_arithmetic(project: Path, photo: Path, tmp_path: Path, precision: str,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["restore", "--task", "super_resolution", str(photo), "-o", str(tmp_path / "new.png"), "--model",
                 "vdsr", "--precision", precision]
    assert cli.main(arguments) == 0
    assert f"restored with vdsr (super_resolution, {precision})." in capsys.readouterr().out


def test_restore_with_the_champion(project: Path, photo: Path, tmp_path: Path) -> None:
    from restore_ml.promotion import champions

    arguments = ["restore", "--task", "super_resolution", str(photo), "-o", str(tmp_path / "new.png"), "--scale", "3"]
    champions.install(project, "super_resolution", "bicubic", {"sentence": "a"})
    assert cli.main(arguments) == 0
    restored = np.asarray(Image.open(tmp_path / "new.png"))
    assert restored.shape == (123, 171, 3)
    before = np.asarray(Image.open(photo).resize((171, 123), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(restored - before).mean() < 3, "much the same as Pillow's bicubic"


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(("change", "text"), [
    ({"picture": "missing.jpg"}, "There is no picture"),
    ({"picture": "notes.txt"}, "not an image"),
    ({"picture": "half.jpg"}, "cannot be used"),
    ({"--model": "nosuch"}, "no model 'nosuch'"),
    ({"--model": "../../etc"}, "leads out of"),
    ({"--model": "broken"}, "diverged at step 7"),
    ({"--task": "inpainting"}, "is of the task super_resolution"),
    ({"--scale": "99"}, "The scale is 99"),
    ({"-o": "new.xyz"}, "ends in '.xyz'"),
    ({"--model": "champion", "--task": "colorization"}, "no champion for colorization"),
])
def test_a_mistake_is_a_sentence(project: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                 change: dict[str, str], text: str) -> None:
    (tmp_path / "notes.txt").write_text("no picture at all")
    (tmp_path / "half.jpg").write_bytes(photo.read_bytes()[:400])
    options = {"picture": "old.jpg", "--task": "super_resolution", "-o": "new.png", "--model": "vdsr"} | change
    arguments = ["restore", str(tmp_path / options.pop("picture"))]
    options["-o"] = str(tmp_path / options["-o"])
    for key, value in options.items():
        arguments += [key, value]
    assert cli.main(arguments) == 2
    assert text in sentence(capsys)
    assert not (tmp_path / "new.png").exists()


def test_a_broken_model_is_a_sentence(project: Path, photo: Path, tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    folder = project / "models/super_resolution/torn"
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text("{")
    arguments = ["restore", str(photo), "--task", "super_resolution", "-o", str(tmp_path / "new.png")]
    assert cli.main([*arguments, "--model", "torn"]) == 2
    assert "not readable JSON" in sentence(capsys)


def test_inpainting_fills_where_the_mask_is_white(project: Path, photo: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    folder = project / "models/inpainting/telea_run"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "model.json", {"run": "telea_run", "task": "inpainting", "method": "telea", "settings": {},
                                       "slots": {}, "status": "ok", "reason": "", "seed": 1})
    mask = np.zeros((41, 57), np.uint8)
    mask[10:20, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    arguments = ["restore", str(photo), "--task", "inpainting", "-o", str(tmp_path / "new.png"), "--model",
                 "telea_run"]
    assert cli.main(arguments) == 2
    assert "needs a mask" in sentence(capsys)
    assert cli.main([*arguments, "--mask", str(tmp_path / "mask.png")]) == 0
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (photo, tmp_path / "new.png"))
    assert np.array_equal(before[mask == 0], after[mask == 0]) and (before[mask > 0] != after[mask > 0]).any()
    Image.fromarray(mask[:30]).save(tmp_path / "small.png")
    capsys.readouterr()
    assert cli.main([*arguments, "--mask", str(tmp_path / "small.png")]) == 2
    assert "57 x 30" in sentence(capsys)


def test_ctrl_c_is_130(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("restore_ml.registry.method_names", interrupted)
    assert cli.main(["methods"]) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_no_command_is_an_error_with_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2
