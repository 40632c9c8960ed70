"""The example of a third party's plug-in: built, installed into a folder of its own and put to the kit there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"


def run(*command, **given):
    done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_plugin_builds_installs_and_keeps_the_laws(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(PLUGIN, source)
    run("build", "--wheel", "--no-isolation", "--outdir", tmp_path / "wheel", source)
    (wheel,) = (tmp_path / "wheel").glob("subspace_sde_counting-*.whl")
    installed = tmp_path / "installed"
    run("pip", "install", "--quiet", "--no-deps", "--no-index", "--target", installed, wheel)
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    tests = shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    # in an empty folder: nothing but what is installed can be imported
    told = run(
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        tests,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert " passed" in told and "failed" not in told
