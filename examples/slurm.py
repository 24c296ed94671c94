"""An experiment on a SLURM cluster: every task, trainings and free runs too, in jobs of its own.

    python examples/slurm.py quickstart runs/quickstart --profile laptop --jobs 8 --partition cpu
    python examples/slurm.py quickstart runs/quickstart --profile tiny --local      # try it here

Start it where jobs are submitted from, in a folder that all nodes see, and leave it running: it
holds the scheduler and the manifest, and needs little itself. The same command goes on where it
was stopped. Needs `pip install 'subgrid[dask]'`.
"""

import argparse
from contextlib import contextmanager
from pathlib import Path

from subgrid.config import load_config
from subgrid.experiment import Lines, run_experiment


@contextmanager
def cluster(options):
    """Give a Dask cluster whose workers are jobs, or, with --local, two processes here."""
    if options.local:
        from distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as here:
            yield here
        return
    from dask_jobqueue import SLURMCluster

    with SLURMCluster(
        queue=options.partition,
        account=options.account,
        cores=1,  # tasks at once in a job: the cores of one are XLA's
        processes=1,
        job_cpu=options.cpus,
        memory=options.memory,
        walltime=options.walltime,
        # as many threads in every job give the same bits in every job
        job_script_prologue=[f"export NPROC={options.cpus}"],
        job_extra_directives=["--gres=gpu:1"] if options.gpu else [],
    ) as jobs:
        jobs.scale(jobs=options.jobs)
        yield jobs


def main():
    """Run an experiment whose tasks are done by a cluster."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", help="a preset or a config file")
    parser.add_argument("out", type=Path, help="the run folder")
    parser.add_argument("--profile")
    parser.add_argument("--local", action="store_true", help="two processes here, without SLURM")
    parser.add_argument("--jobs", type=int, default=4, help="so many at once")
    parser.add_argument("--cpus", type=int, default=4, help="cores of a job")
    parser.add_argument("--memory", default="16GB", help="of a job")
    parser.add_argument("--walltime", default="12:00:00", help="of a job")
    parser.add_argument("--partition")
    parser.add_argument("--account")
    parser.add_argument("--gpu", action="store_true", help="one GPU in each job")
    options = parser.parse_args()
    config = load_config(options.source, options.profile)
    with cluster(options) as workers:
        run_experiment(
            config, options.out, dask=workers.scheduler_address, progress=Lines(every=60.0)
        )


if __name__ == "__main__":
    main()
