#!/usr/bin/env bash
# Runs the project on all workers of a Cloud TPU VM; --help explains how.
set -euo pipefail

usage() {
    cat <<'HELP'
Runs the project on all workers of a Cloud TPU VM slice.

  launch/tpu_vm.sh COMMAND --name=NAME --zone=ZONE [FLAGS] [-- ARGUMENTS OF main]

The commands, in the order in which a run needs them:
  create   makes the slice (--type; with --queued it waits in line for one)
  copy     copies the tracked files of this checkout to all workers and installs them
  run      starts `python -m taskfusion_jax.main --distributed ARGUMENTS` on all workers, detached:
           it goes on when you log out
  logs     follows the log of worker 0 (--worker=3 for another, --worker=all for all)
  stop     sends SIGTERM to all workers: they save and leave; `run` goes on from there
  delete   deletes the slice after asking; what lies only on its disks is lost

Flags:
  --name=NAME        of the slice, your choice
  --zone=ZONE        such as us-central2-b
  --project=ID       Google Cloud project; without it gcloud's own setting
  --type=TYPE        create: accelerator type, such as v4-32, v5litepod-16, v6e-8
  --version=VERSION  create: software of the VMs (tpu-ubuntu2204-base; v5e: v2-alpha-tpuv5-lite;
                     v5p: v2-alpha-tpuv5; v6e: v2-alpha-tpuv6e)
  --spot             create: cheaper, but may be taken away at any time
  --queued           create, delete: as a queued resource of the same name
  --worker=WORKER    logs: 0 if not given
  --dry-run          prints the gcloud commands and runs none

The workdir must be on a file system that all workers share, such as a Filestore mounted on each.

Example:
  launch/tpu_vm.sh create --name=film --zone=us-central2-b --type=v4-32
  launch/tpu_vm.sh copy   --name=film --zone=us-central2-b
  launch/tpu_vm.sh run    --name=film --zone=us-central2-b -- \
      --config=configs/film_pets.py --workdir=/mnt/shared/runs/pets
  launch/tpu_vm.sh logs   --name=film --zone=us-central2-b
HELP
}

fail() {
    echo "error: $1; --help explains the flags" >&2
    exit 2
}

# On the workers, relative to the home directory.
folder=taskfusion_jax
log=taskfusion_jax.log
pid=taskfusion_jax.pid

name='' zone='' project='' type='' version=tpu-ubuntu2204-base spot='' queued='' worker=0 dry_run=''
arguments=()

parse() {
    while (($#)); do
        case $1 in
            --name=*) name=${1#*=} ;;
            --zone=*) zone=${1#*=} ;;
            --project=*) project=${1#*=} ;;
            --type=*) type=${1#*=} ;;
            --version=*) version=${1#*=} ;;
            --worker=*) worker=${1#*=} ;;
            --spot) spot=yes ;;
            --queued) queued=yes ;;
            --dry-run) dry_run=yes ;;
            --)
                shift
                arguments=("$@")
                break
                ;;
            *) fail "no flag '$1'" ;;
        esac
        shift
    done
    [[ $name ]] || fail "--name is missing"
    [[ $zone ]] || fail "--zone is missing"
}

# Runs a gcloud command about the slice, or prints it, quoted where a shell needs it.
tpus() {
    local words=(gcloud compute tpus "$@" "--zone=$zone" ${project:+"--project=$project"})
    if [[ ! $dry_run ]]; then
        "${words[@]}"
        return
    fi
    local word line=''
    for word in "${words[@]}"; do
        [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word=${word@Q}
        line+="$word "
    done
    echo "${line% }"
}

on_workers() { # WORKERS COMMAND
    tpus tpu-vm ssh "$name" "--worker=$1" "--command=$2"
}

create() {
    [[ $type ]] || fail "--type is missing"
    if [[ $queued ]]; then
        tpus queued-resources create "$name" "--node-id=$name" "--accelerator-type=$type" \
            "--runtime-version=$version" ${spot:+--spot}
    else
        tpus tpu-vm create "$name" "--accelerator-type=$type" "--version=$version" ${spot:+--spot}
    fi
}

# The VMs' own Python is too old, so uv brings one. Only tracked files: no data, no secrets.
copy() {
    local archive
    archive=$(mktemp --suffix=.tar.gz)
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '$archive'" EXIT
    (cd "$(dirname "$0")/.." && git ls-files -z | tar --create --gzip --null --files-from=- \
        --ignore-failed-read --file="$archive")
    tpus tpu-vm scp "$archive" "$name:$folder.tar.gz" --worker=all
    on_workers all "mkdir -p $folder && tar -xzf $folder.tar.gz -C $folder && cd $folder &&\
 python3 -m pip install --quiet --user uv &&\
 python3 -m uv venv --quiet --allow-existing --python=3.12 .venv &&\
 python3 -m uv pip install --quiet --python=.venv -e '.[tpu]'"
}

# Started as a plain background job, so that \$! is Python's own number.
run() {
    ((${#arguments[@]})) || fail "nothing to run: give --config and --workdir after --"
    local main
    printf -v main ' %q' "${arguments[@]}"
    on_workers all "if [ -f $pid ] && kill -0 \$(cat $pid) 2>/dev/null; then\
 echo 'error: a run is going on; stop it first' >&2; exit 1; fi;\
 cd $folder || exit 1;\
 nohup .venv/bin/python -u -m taskfusion_jax.main --distributed$main >>~/$log 2>&1 </dev/null &\
 echo \$! >~/$pid"
}

logs() {
    on_workers "$worker" "tail -n 100 -F $log"
}

stop() {
    on_workers all "kill -TERM \$(cat $pid)"
}

delete() {
    if [[ $queued ]]; then
        tpus queued-resources delete "$name" --force
    else
        tpus tpu-vm delete "$name"
    fi
}

case ${1:-} in
    '' | -h | --help | help) usage ;;
    create | copy | run | logs | stop | delete)
        command=$1
        shift
        case " $* " in *" --help "*) usage && exit ;; esac
        parse "$@"
        "$command"
        ;;
    *) fail "no command '$1'" ;;
esac
