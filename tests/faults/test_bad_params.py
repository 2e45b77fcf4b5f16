"""A bad params.yaml: every mistake is a sentence with its place and, for a misspelling, the nearest right word."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from restore_ml import cli
from restore_ml.base.errors import UserError
from restore_ml.runs.plain_yaml import DEEPEST, MOST_VALUES
from restore_ml.runs.settings import PROFILES, load, set_profile

GOOD = """\
profile: cpu
seed: 3
threads: 1
processes: 1
precision: auto
weights: {}
seeds: {paper: 3}
promotion: {confidence: 0.95}
"""
RUNS = """\
task: super_resolution
samples: {settings: {scales: [2, 3]}, quick: {scales: [2]}}
empty: &empty {features: none, teacher: none, recogniser: none, parts: none}
runs:
  bicubic: *empty
  vdsr: {<<: *empty, settings: {width: 8}, cpu: {steps: 10}}
  gan: {<<: *empty, method: sa_subpixel_sr, features: none, cpu: {steps: {pixel: 5, gan: 5}}}
  vdsr_s2: {<<: *empty, of: vdsr, seed: 4}
"""
OTHER = "task: inpainting\nsamples: {settings: {size: 64}}\nruns: {}\n"
FILES = {"params.yaml": GOOD, "graph/super_resolution/runs.yaml": RUNS, "graph/inpainting/runs.yaml": OTHER}
PAIRS = list(zip("abcdefgh", "bcdefghi", strict=True))
BOMB = "\n".join(["weights: &a [x, x, x, x, x, x, x, x, x, x]", *(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]" for old, new in PAIRS)])
MERGES = "\n".join(["weights: &a {x: 1}", *(
    f"{new}: &{new} {{<<: [{', '.join(['*' + old] * 10)}]}}" for old, new in PAIRS)])
CASES = {
    # unknown words, with the nearest right one
    "unknown top key": ("weights: {}", "wieghts: {}", "unknown key 'wieghts'. Did you mean 'weights'?"),
    "far from every key": ("weights: {}", "zzz: {}", "unknown key 'zzz'. There are profile, seed,"),
    "unknown profile": ("profile: cpu", "profile: cup", "must be one of quick, cpu, gpu, paper. Did you mean 'cpu'?"),
    "profile in capitals": ("profile: cpu", "profile: GPU", "Did you mean 'gpu'?"),
    "another task's file": ("task: inpainting", "task: inpaintings", "it must be inpainting."),
    "unknown method": ("method: sa_subpixel_sr", "method: sa_subpixel", "Did you mean 'sa_subpixel_sr'?"),
    "unknown method by the run's name": ("  bicubic:", "  bycubic:", "Did you mean 'bicubic'?"),
    "unknown key of a run": ("vdsr: {<<: *empty, settings", "vdsr: {<<: *empty, parst: none, settings",
                             "Did you mean 'parts'?"),
    "profile of a run": ("cpu: {steps: 10}", "cpus: {steps: 10}", "Did you mean 'cpu'?"),
    "unknown setting": ("{width: 8}", "{widht: 8}", "has no setting 'widht' (the run 'vdsr'"),
    "unknown setting of a task": ("{size: 64}", "{sise: 64}",
                                  "has no setting 'sise'; it has size, cases, pool. Did you mean 'size'?"),
    "unknown case": ("{size: 64}", "{cases: [strooks]}", "Did you mean 'strokes'?"),
    "unknown phase": ("pixel: 5", "pixle: 5", "Did you mean 'pixel'?"),
    "a phase is missing": (", gan: 5", "", "steps of the run 'gan' of super_resolution lacks gan; write 0"),
    "unknown run in a slot": ("features: none, cpu", "features: super_resolution/bicubc, cpu",
                              "Did you mean 'super_resolution/bicubic'?"),
    "unknown base of a replicate": ("of: vdsr,", "of: vdrs,", "which is no run of its own. Did you mean 'vdsr'?"),
    "unknown precision": ("precision: auto", "precision: bf61", "Did you mean 'bf16'?"),
    # kinds and ranges
    "a text for a number": ("{width: 8}", "{width: wide}", "width of the run 'vdsr' of super_resolution is 'wide'"),
    "a fraction for a whole number": ("{width: 8}", "{width: 8.5}", "same kind as 64"),
    "true for a number": ("{width: 8}", "{width: true}", "same kind as 64"),
    "a number for a list": ("scales: [2, 3]", "scales: 2", "same kind as [2, 3, 4]"),
    "a text in a list of numbers": ("scales: [2, 3]", "scales: [2, x]", "an entry of scales of samples of"),
    "a number for a mapping": ("{pixel: 5, gan: 5}", "9", "steps of the run 'gan' of super_resolution is 9"),
    "a list for settings": ("settings: {width: 8}", "settings: [width]", "must be a mapping of settings"),
    "a list for a run": ("  bicubic: *empty", "  bicubic: [1]", "bicubic under runs"),
    "a list for runs": ("runs: {}", "runs: [a]", "runs in"),
    "a text for weights": ("weights: {}", "weights: here", "weights in"),
    "a number for a weight's path": ("weights: {}", "weights: {vgg19: 3}", "vgg19 under weights"),
    "a list for promotion": ("{confidence: 0.95}", "[0.95]", "promotion in"),
    "a list for seeds": ("{paper: 3}", "[3]", "seeds in"),
    "negative budget": ("cpu: {steps: 10}", "cpu: {steps: -10}", "steps of the run 'vdsr' of super_resolution is -10"),
    "negative budget of a phase": ("gan: 5}", "gan: -5}", "at least 0"),
    "no batch": ("{width: 8}", "{batch: 0}", "at least 1"),
    "negative width": ("{width: 8}", "{width: -8}", "at least 1"),
    "no width": ("{width: 8}", "{width: 0}", "width of the run 'vdsr' of super_resolution is 0; it must be at least 1"),
    "negative seed": ("seed: 3", "seed: -3", "at least 0"),
    "no threads": ("threads: 1", "threads: 0", "at least 1"),
    "too many threads": ("threads: 1", "threads: 99999999", "at most 4096"),
    "too many processes": ("processes: 1", "processes: 99999999999", "at most 4096"),
    "beyond 64 bits": ("seed: 3", "seed: 99999999999999999999", "64 bits"),
    "thousands of digits": ("seed: 3", f"seed: {'9' * 5000}", "not readable YAML"),
    "not a number": ("{width: 8}", "{lr: .nan}", "runs.vdsr.settings.lr"),
    "infinite": ("{width: 8}", "{lr: 1.0e+999}", "finite"),
    "a seed of its own": ("seed: 4", "seed: 3", "has the seed of 'vdsr'"),
    # what YAML can say and settings cannot hold
    "twice": ("weights: {}", "weights: {}\nseed: 4", 'found duplicate key "seed"'),
    "a run twice": ("  bicubic:", "  vdsr: {}\n  bicubic:", 'found duplicate key "vdsr"'),
    "a number for a name": ("  bicubic:", "  1: {method: vdsr}\n  bicubic:", "in quotes"),
    "nothing for a name": ("  bicubic:", "  null: {method: vdsr}\n  bicubic:", "in quotes"),
    "a path for a name": ("  bicubic:", "  ../../bicubic: {method: bicubic}\n  bicubic:",
                          "no name for a run"),
    "a date": ("{width: 8}", "{width: 2026-01-01}", "a date"),
    "a date that is none": ("seed: 3", "seed: 2026-99-99", "month"),
    "binary": ("weights: {}", "weights: !!binary aGk=", "bytes"),
    "a set": ("weights: {}", "weights: !!set {a}", "a set"),
    "a Python object": ("weights: {}", "weights: !!python/object/apply:os.system [true]", "could not determine"),
    "an unknown alias": ("weights: {}", "weights: *w", "alias"),
    "an alias in itself": ("weights: {}", "weights: &w {a: *w}", "within its own anchor"),
    "a bomb of aliases": ("weights: {}", BOMB, f"more than {MOST_VALUES} values"),
    "a bomb of merges": ("weights: {}", MERGES, f"more than {MOST_VALUES} values"),
    "deep nesting": ("weights: {}", "weights: " + "[" * 100_000, f"{DEEPEST} mappings and lists in each other"),
    "half a surrogate": ("weights: {}", 'weights: "\\ud800"', "not readable YAML"),
    "a merge conflict": ("weights: {}", "<<<<<<< HEAD\nweights: {}\n=======\nseeds: {}\n>>>>>>> mine",
                         "holds a merge conflict"),
    "a null byte": ("weights: {}", "weights: \0", "not readable YAML"),
    "a tab": ("weights: {}", "\tweights: {}", "line 6"),
    "unclosed": ("weights: {}", "weights: {", "not readable YAML"),
}


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """params.yaml of a project with the runs of two tasks; it is not there yet."""
    lay(tmp_path)
    (tmp_path / "params.yaml").unlink()
    return tmp_path / "params.yaml"


def lay(root: Path, old: str = "", new: str = "") -> None:
    """Write all files, with `new` in place of `old` in the first one that has it."""
    names = [name for name, text in FILES.items() if old in text]
    assert names, old
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(old, new, 1) if old and name == names[0] else text)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        load(path)
    said = str(error.value)
    assert len(said) < 600 and "\n" not in said and said.endswith((".", "?")), said
    return said


def test_the_good_one_is_read_in_every_profile(params: Path) -> None:
    params.write_text(GOOD)
    for profile in PROFILES:
        set_profile(profile, params)
        assert set(load(params).runs) == {f"super_resolution/{name}" for name in ("bicubic", "vdsr", "gan", "vdsr_s2")}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_a_sentence(params: Path, case: str) -> None:
    old, new, said = CASES[case]
    lay(params.parent, old, new)
    assert said in refused(params)


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"- a\n", b"cpu\n", b"42\n", b"null\n", b"\xff\xfe\x00", b"\x00",
                                  b"profile: cpu\n---\nprofile: cpu\n", b"\x93pickle"])
def test_what_is_no_mapping_is_a_sentence(params: Path, text: bytes) -> None:
    params.write_bytes(text)
    refused(params)


def test_what_is_no_file_is_a_sentence(params: Path) -> None:
    assert "does not exist" in refused(params)
    params.mkdir()
    assert "cannot be read: Is a directory" in refused(params)


def test_other_languages_and_a_byte_order_mark_are_fine(params: Path) -> None:
    weights = "weights: {vgg19: 'фото/図 1.safetensors'}  # Gewichte für später"
    params.write_text("\ufeff" + GOOD.replace("weights: {}", weights), encoding="utf-8")
    assert load(params).weights == {"vgg19": "фото/図 1.safetensors"}
    lay(params.parent, "  bicubic:", "  ünï: {method: bicubic}\n  bicubic:")
    assert "no name for a run" in refused(params)


@pytest.mark.parametrize(("before", "after"), [
    ("profile: cpu\nseed: 1\n", "profile: quick\nseed: 1\n"),
    ("\ufeffprofile: cpu\nseed: 1\n", "\ufeffprofile: quick\nseed: 1\n"),
    ("profile: cpu   # mine\r\nseed: 1\r\n", "profile: quick   # mine\r\nseed: 1\r\n"),
    ("profile : 'cpu'\n", "profile: quick\n"),
    ("profile:\nseed: 1\n", "profile: quick\nseed: 1\n"),
    ("profile: # none\n", "profile: quick # none\n"),
    ("seed: 1\nprofile: cpu", "seed: 1\nprofile: quick"),
])
def test_the_profile_alone_is_rewritten(params: Path, before: str, after: str) -> None:
    params.write_bytes(before.encode())
    assert set_profile("quick", params) and params.read_bytes() == after.encode()
    assert not set_profile("quick", params) and params.read_bytes() == after.encode()


@pytest.mark.parametrize("text", [b"seed: 1\n", b"profile: cpu\nprofile: gpu\n", b"{profile: cpu}\n",
                                  b"profile: \xff\n"])
def test_a_profile_that_cannot_be_rewritten_is_a_sentence(params: Path, text: bytes) -> None:
    params.write_bytes(text)
    with pytest.raises(UserError):
        set_profile("quick", params)
    assert params.read_bytes() == text


def test_aliases_and_merges_of_a_sane_size_are_fine(params: Path) -> None:
    lay(params.parent, "settings: {width: 8}, cpu: {steps: 10}}",
        "settings: &small {width: 8}}\n  vdsr_deep: {method: vdsr, settings: {<<: *small, layers: 3}}")
    deep = load(params).runs["super_resolution/vdsr_deep"]
    assert deep.settings["width"] == 8 and deep.settings["layers"] == 3


def test_the_command_line_says_the_sentence(params: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(params.parent))
    lay(params.parent, "method: sa_subpixel_sr", "method: sa_subpixel_rs")
    assert cli.main(["runs"]) == 2
    shown = capsys.readouterr()
    assert "Did you mean 'sa_subpixel_sr'?" in shown.err and "Traceback" not in shown.err and not shown.out


def test_a_bomb_takes_neither_memory_nor_the_process(params: Path) -> None:
    """In a process of its own with bounded memory: deep nesting ended it once, by a signal."""
    for case in ("a bomb of aliases", "a bomb of merges", "deep nesting"):
        old, new, _ = CASES[case]
        params.with_name(f"{case}.yaml").write_text(GOOD.replace(old, new, 1))
    code = ("import sys\nfrom pathlib import Path\nfrom restore_ml.base.errors import UserError\n"
            "from restore_ml.runs.settings import load\nfor path in sys.argv[1:]:\n    try:\n        load(Path(path))\n"
            "    except UserError:\n        print('refused')\n")
    files = sorted(map(str, params.parent.glob("*.yaml")))
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, timeout=300,
                          check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)))
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * 3), done.stderr
